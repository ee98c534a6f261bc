package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.UserRules;
import io.panoptim.engine.Rule;
import io.panoptim.engine.cpu.Disassembly.Instruction;
import io.panoptim.tensor.DType;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A loop that is not vectorised, or not for its tier, gives the right result and no warning: only its object code tells. */
class ObjectCodeTest {
    /** The loops of map and of factored second moments, and what each must do to whole registers. */
    private static final Map<String, Packing.Operation> LOOPS = Map.of("map_scale", Packing.Operation.MULTIPLY,
            "map_lerp", Packing.Operation.FMA, "map_axpy", Packing.Operation.FMA, "map_clamp", Packing.Operation.COMPARE,
            "factored_updates", Packing.Operation.MULTIPLY, "factored_averages", Packing.Operation.FMA,
            "factored_apply", Packing.Operation.FMA, "factored_steps", Packing.Operation.FMA);

    /** The same of loops that compute in float64 whatever the type: of reduce and of factored second moments. */
    private static final Map<String, Packing.Operation> SUMS = Map.of("reduce_dot", Packing.Operation.ADD,
            "reduce_square", Packing.Operation.ADD, "reduce_absolute_sum", Packing.Operation.ADD,
            "reduce_absolute_maximum", Packing.Operation.COMPARE,
            "factored_row", Packing.Operation.ADD, "factored_columns", Packing.Operation.ADD, "factored_factors", Packing.Operation.SQRT);

    /** The loops over codes and compensations. */
    private static final Map<String, Packing.Operation> CODES = Map.ofEntries(
            Map.entry("quantize_dynamic_signed", Packing.Operation.DIV), Map.entry("dequantize_dynamic_signed", Packing.Operation.MULTIPLY),
            Map.entry("quantize_dynamic_unsigned", Packing.Operation.DIV), Map.entry("dequantize_dynamic_unsigned", Packing.Operation.MULTIPLY),
            Map.entry("quantize_companded_signed", Packing.Operation.DIV), Map.entry("dequantize_companded_signed", Packing.Operation.DIV),
            Map.entry("quantize_companded_unsigned", Packing.Operation.SQRT), Map.entry("dequantize_companded_unsigned", Packing.Operation.DIV),
            Map.entry("quantize_float8_signed", Packing.Operation.DIV), Map.entry("dequantize_float8_signed", Packing.Operation.MULTIPLY),
            Map.entry("quantize_float8_unsigned", Packing.Operation.DIV), Map.entry("dequantize_float8_unsigned", Packing.Operation.MULTIPLY),
            Map.entry("quantize_dynamic4_signed", Packing.Operation.DIV), Map.entry("dequantize_dynamic4_signed", Packing.Operation.MULTIPLY),
            Map.entry("quantize_linear4_unsigned", Packing.Operation.DIV), Map.entry("dequantize_linear4_unsigned", Packing.Operation.MULTIPLY),
            Map.entry("add", Packing.Operation.ADD));

    @ParameterizedTest
    @EnumSource
    void everyKernelIsPackedToTheTiersFullWidth(Isa isa) throws Exception {
        Map<String, List<Instruction>> functions = disassemble(isa).functions();
        Map<String, List<String>> faults = new TreeMap<>();
        for (Rule rule : Rule.all()) {
            for (int slots = rule.minSlots(); slots <= rule.states().size(); slots++) {
                for (DType type : List.of(DType.FLOAT32, DType.FLOAT64)) {
                    String loop = rule + "_" + type + "_" + slots;
                    put(faults, "panoptim_sweep_" + loop, functions, function -> Packing.faults(isa, type, function));
                    if (rule.sums() != null && rule.sums().flag() != 0) {
                        put(faults, "panoptim_sweep_plain_" + loop, functions, function -> Packing.faults(isa, type, function));
                    }
                    if (rule.sums() != null) {
                        put(faults, "panoptim_measure_" + loop, functions, function -> Packing.faultsOfSums(isa, type, function));
                    }
                }
            }
        }
        assertEquals(Map.of(), faults);
    }

    @ParameterizedTest
    @MethodSource("io.panoptim.engine.cpu.Isa#ofArchitecture")
    void aUsersRuleIsPackedToo(Isa isa, @TempDir Path folder) throws Exception {
        String[] flags = isa == Isa.AARCH64 ? new String[] {"-march=armv8-a"}
                : new String[] {"-march=" + isa.id(), "-mprefer-vector-width=512"};
        Path library = UserRules.compile(Path.of("src/test/resources/io/panoptim/optim/own.h"), folder.resolve("libown.so"), flags);
        Map<String, List<Instruction>> functions = Disassembly.of(library, isa).functions();
        Map<String, List<String>> faults = new TreeMap<>();
        for (int slots = 2; slots <= 3; slots++) {
            for (DType type : List.of(DType.FLOAT32, DType.FLOAT64)) {
                String mangled = "user_sweepI" + (type == DType.FLOAT32 ? "f" : "d") + "Lm" + slots + "E";
                String name = functions.keySet().stream().filter(function -> function.contains(mangled)).findFirst().orElse(mangled);
                put(faults, name, functions, function -> Packing.faults(isa, type, function));
            }
        }
        assertEquals(Map.of(), faults);
    }

    @ParameterizedTest
    @EnumSource
    void everyLoopOverColumnsIsPackedToTheTiersFullWidth(Isa isa) throws Exception {
        Map<String, List<Instruction>> functions = disassemble(isa).functions();
        Map<String, List<String>> faults = new TreeMap<>();
        for (DType type : List.of(DType.FLOAT32, DType.FLOAT64)) {
            LOOPS.forEach((loop, operation) -> put(faults, "panoptim_" + loop + "_" + type, functions,
                    function -> Packing.faultsOf(operation, isa, type, function)));
            SUMS.forEach((loop, operation) -> put(faults, "panoptim_" + loop + "_" + type, functions,
                    function -> Packing.faultsOf(operation, isa, DType.FLOAT64, function)));
        }
        assertEquals(Map.of(), faults);
    }

    @ParameterizedTest
    @EnumSource
    void everyLoopOverCodesAndHalvesIsPackedToTheTiersFullWidth(Isa isa) throws Exception {
        Map<String, List<Instruction>> functions = disassemble(isa).functions();
        Map<String, List<String>> faults = new TreeMap<>();
        CODES.forEach((loop, operation) -> {
            if (isa != Isa.AARCH64 || !loop.contains("dynamic")) { // which has no loads from places that are in a register
                put(faults, "panoptim_" + loop, functions, function -> Packing.faultsOf(operation, isa, DType.FLOAT32, function));
            }
        });
        for (String loop : List.of("largest", "round_stochastically", "join", "split", "pack", "unpack")) {
            put(faults, "panoptim_" + loop, functions, function -> Packing.faultsOfBits(isa, function));
        }
        assertEquals(Map.of(), faults);
    }

    private static void put(Map<String, List<String>> faults, String name, Map<String, List<Instruction>> functions,
                            Function<List<Instruction>, List<String>> check) {
        List<String> found = functions.containsKey(name) ? check.apply(functions.get(name)) : List.of("missing");
        if (!found.isEmpty()) {
            faults.put(name, found);
        }
    }

    @Test
    void theTierBelowAvx512HasNoInstructionOfIt() throws Exception {
        Map<String, List<Instruction>> functions = disassemble(Isa.X86_64_V3).functions();
        assertEquals(List.of(), functions.values().stream().flatMap(List::stream).filter(Instruction::needsAvx512).toList());
    }

    /** It is asked on processors that have none of the tier's instructions; loading the library must not need them either. */
    @ParameterizedTest
    @EnumSource(names = "X86_.*", mode = EnumSource.Mode.MATCH_ALL)
    void whatRunsBeforeTheProcessorIsKnownRunsOnEveryProcessor(Isa isa) throws Exception {
        Map<String, List<Instruction>> functions = disassemble(isa).functions();
        assertTrue(functions.containsKey("panoptim_supported"));
        List<Instruction> early = functions.entrySet().stream()
                .filter(function -> function.getKey().matches("panoptim_supported|_init|frame_dummy|_GLOBAL__sub_I.*"))
                .flatMap(function -> function.getValue().stream()).toList();
        assertEquals(List.of(), early.stream().filter(Instruction::needsAvx).toList());
    }

    @ParameterizedTest
    @CsvSource(delimiter = ';', textBlock = """
            X86_64_V3 ; FLOAT32 ; vfmadd231ss %xmm1,%xmm2,%xmm3                        ; [FMA]
            X86_64_V3 ; FLOAT32 ; vfmadd231ps %xmm1,%xmm2,%xmm3                        ; [FMA]
            X86_64_V3 ; FLOAT32 ; vfmadd231pd %ymm1,%ymm2,%ymm3                        ; [FMA]
            X86_64_V3 ; FLOAT32 ; vfmadd231ps (%rdx),%ymm2,%ymm3                       ; []
            X86_64_V3 ; FLOAT64 ; vfnmadd132pd %ymm1,%ymm2,%ymm3|vdivsd %xmm1,%xmm2,%xmm3 ; [DIV]
            X86_64_V3 ; FLOAT64 ; vmulpd %ymm1,%ymm2,%ymm3|vsqrtsd %xmm1,%xmm2,%xmm3   ; [SQRT]
            X86_64_V3 ; FLOAT32 ; vmulss %xmm1,%xmm2,%xmm3                             ; [MUL]
            X86_64_V3 ; FLOAT32 ; vmovups %ymm1,(%rdx)                                 ; [MUL]
            X86_64_V3 ; FLOAT32 ; vfmadd231ss %xmm1,%xmm2,%xmm3|vmulps %ymm1,%ymm2,%ymm3 ; [FMA]
            X86_64_V4 ; FLOAT32 ; vmulps %zmm1,%zmm2,%zmm3{%k1}                        ; []
            X86_64_V3 ; FLOAT64 ; vfmadd231pd %ymm1,%ymm2,%ymm3|vsqrtpd %ymm1,%ymm2|vsqrtsd %xmm1,%xmm2,%xmm3 ; []
            X86_64_V4 ; FLOAT32 ; vfmadd231ps %ymm1,%ymm2,%ymm3                        ; [FMA]
            X86_64_V4 ; FLOAT32 ; vfmadd231ps %zmm1,%zmm2,%zmm3{%k1}                   ; []
            X86_64_V4 ; FLOAT32 ; vfmadd231ps %zmm1,%zmm2,%zmm3|vsqrtps %ymm1,%ymm2    ; [SQRT]
            AARCH64   ; FLOAT32 ; fmadd s6, s6, s4, s0                                 ; [FMA]
            AARCH64   ; FLOAT32 ; fmla v0.2s, v1.2s, v2.2s                             ; [FMA]
            AARCH64   ; FLOAT32 ; fmla v0.4s, v1.4s, v2.4s|fsqrt s2, s0|fdiv s0, s1, s0 ; [SQRT, DIV]
            AARCH64   ; FLOAT64 ; fmla v0.2d, v1.2d, v2.2d|fdiv v0.2d, v1.2d, v2.2d    ; []
            """)
    void aLoopThatIsNotPackedIsFound(Isa isa, DType type, String code, String operations) {
        List<Instruction> function = Stream.of(code.split("\\|")).map(text -> new Instruction("", text)).toList();
        List<String> found = Packing.faults(isa, type, function).stream().map(fault -> fault.split(" ")[2]).toList();
        assertEquals(operations, found.toString());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "62 f1 74 48 58 d0    \tvaddps %zmm0,%zmm1,%zmm2",
        "62 b1 74 28 58 d0    \tvaddps %ymm16,%ymm1,%ymm2",
        "62 f3 75 28 25 d0 ff \tvpternlogd $0xff,%ymm0,%ymm1,%ymm2",
        "67 62 f1 7c 48 10 00 \tvmovups (%eax),%zmm0",
        "c5 f8 92 c8          \tkmovw  %eax,%k1"})
    void anInstructionOfAvx512IsFound(String line) {
        assertTrue(onlyInstruction(line).needsAvx512());
        assertTrue(onlyInstruction(line).needsAvx());
    }

    @Test
    void theOtherInstructionsAreNotTakenForIt() {
        assertFalse(onlyInstruction("c5 f4 58 d0          \tvaddps %ymm0,%ymm1,%ymm2").needsAvx512());
        assertTrue(onlyInstruction("c5 f4 58 d0          \tvaddps %ymm0,%ymm1,%ymm2").needsAvx());
        assertFalse(onlyInstruction("48 c5 62             \tand    $0x62,%eax").needsAvx());
    }

    private static Instruction onlyInstruction(String line) {
        return Disassembly.parse("0000000000001000 <f>:\n    1000:\t" + line + "\n").functions().get("f").getFirst();
    }

    private static Disassembly disassemble(Isa isa) throws Exception {
        return Disassembly.of(BuiltLibrary.of(isa), isa);
    }
}
