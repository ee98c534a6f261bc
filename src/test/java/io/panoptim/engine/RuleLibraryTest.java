package io.panoptim.engine;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.Command;
import io.panoptim.PanoptimException.Code;
import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.UserRules;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rules of a user's own, compiled. */
@Tag("native")
class RuleLibraryTest {
    private static final Path OWN = Path.of("src/test/resources/io/panoptim/optim/own.h");
    private static final List<DType> TYPES = List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16);
    private static final int SIZE = 3001;
    private static final ElementUpdate NOTHING = (a, x) -> {};

    @TempDir
    private Path folder;

    private final Arena arena = Arena.ofAuto();

    /** With every number of slots and every combination of flags. */
    @ParameterizedTest
    @CsvSource({"signum, Signum", "adabelief, Adabelief", "rmsprop, Rmsprop"})
    void theHeaderOfARuleOfTheListGivesAUserTheSameRuleAndTheSameBits(String name, String type) throws Exception {
        Rule expected = Rule.all().stream().filter(rule -> rule.name().equals(name)).findFirst().orElseThrow();
        Engine engine = TestEngines.cpu();
        List<String> states = expected.states();
        Path header = Files.writeString(folder.resolve(name + ".h"), """
                #include "user_rule.h"
                PANOPTIM_RULE(%s, %s, %s, %s, %s, %s)
                #include "rule/%1$s.h"
                """.formatted(name, type, list(states.subList(0, expected.minSlots())),
                list(states.subList(expected.minSlots(), states.size())), list(expected.scalars()), list(expected.flags())));
        Rule actual = Rule.load(UserRules.compile(header, folder.resolve("lib" + name + ".so")));
        assertEquals(List.of(expected.name(), expected.states(), expected.minSlots(), expected.scalars(), expected.flags()),
                List.of(actual.name(), actual.states(), actual.minSlots(), actual.scalars(), actual.flags()));
        for (DType dtype : TYPES) {
            for (int slots = expected.minSlots(); slots <= expected.states().size(); slots++) {
                List<Tensor> one = stepped(engine, expected, dtype, slots);
                List<Tensor> other = stepped(engine, actual, dtype, slots);
                for (int i = 0; i < one.size(); i++) {
                    Bits.assertSame(one.get(i), other.get(i), dtype + ", " + slots + " slots, tensor " + i);
                }
            }
        }
    }

    /** All tensors of a table after some steps: one value for each combination of flags, and its states. */
    private List<Tensor> stepped(Engine engine, Rule rule, DType type, int slots) {
        Random random = new Random(1);
        int combinations = 1 << rule.flags().size();
        Rows rows = new Rows(combinations);
        List<TensorEntry> entries = new ArrayList<>();
        List<Tensor> tensors = new ArrayList<>();
        int[] classes = new int[combinations];
        for (int i = 0; i < combinations; i++) {
            for (int scalar = 0; scalar < rule.scalars().size(); scalar++) {
                rows.set(i, scalar, random.nextDouble());
            }
            rows.flags(i, i).keep(i, random.nextDouble());
            classes[i] = i;
            List<Tensor> states = new ArrayList<>();
            for (int slot = 0; slot < slots; slot++) {
                states.add(random(type, random, 0));
            }
            Tensor value = random(type, random, -0.5);
            entries.add(new TensorEntry("w" + i, value, random(type, random, -0.5), states, i));
            tensors.add(value);
            tensors.addAll(states);
        }
        try (Table table = engine.table(rule, entries)) {
            table.classes(classes);
            for (int step = 0; step < 3; step++) {
                engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT);
            }
        }
        return tensors;
    }

    private Tensor random(DType type, Random random, double offset) {
        Tensor tensor = Tensor.zeros(arena, type, SIZE);
        for (int i = 0; i < SIZE; i++) {
            tensor.set(i, random.nextDouble() + offset);
        }
        return tensor;
    }

    @Test
    void theReferenceEngineRefusesARuleThatIsCompiledOnly() throws Exception {
        Rule rule = Rule.load(UserRules.compile(OWN, folder.resolve("libown.so")));
        refused(Code.UNSUPPORTED, "Table: the reference engine cannot run the rule own, which was loaded compiled: use the CPU engine, "
                + "or define it in Java too (Rule.define, then withLibrary)", () -> TestEngines.reference().table(rule, List.of()));
    }

    @Test
    void aRuleIsRegisteredOnceHoweverOftenItIsLoadedAndUsed() throws Exception {
        Path library = UserRules.compile(OWN, folder.resolve("libown.so"));
        for (int i = 0; i < 300; i++) { // more than there is room for
            TestEngines.cpu().table(Rule.load(library), List.of()).close();
        }
    }

    @Test
    void moreRulesThanThereIsRoomForAreRefused() throws Exception {
        TestEngines.cpu();
        Path library = UserRules.compile(OWN, folder.resolve("libown.so"));
        Command process = Command.run(Command.java(), "--enable-native-access=ALL-UNNAMED", "-cp", System.getProperty("java.class.path"),
                RegisterMain.class.getName(), library.toString());
        assertTrue(process.output().strip().endsWith("256 EXHAUSTED " + folder.resolve("copy256.so")
                + ": register_rule: 256 rules are registered already"), process.output());
    }

    @Test
    void aLibraryWithOtherNamesThanTheDefinitionIsRefused() throws Exception {
        Path library = UserRules.compile(OWN, folder.resolve("libown.so"));
        String has = "Rule.withLibrary: " + library + " has the rule own with states [exp_avg, exp_avg_sq], optional states "
                + "[max_exp_avg_sq], scalars [decay, exp_avg_weight, exp_avg_sq_decay, eps, step_size] and flags [maximize, signs]; "
                + "expected ";
        refused(Code.INVALID, has + "mine with states", () -> Rule.define("mine").update(NOTHING).withLibrary(library));
        refused(Code.INVALID, has + "own with states [exp_avg, exp_avg_sq, max_exp_avg_sq], optional states []",
                () -> Rule.define("own").states("exp_avg", "exp_avg_sq", "max_exp_avg_sq").update(NOTHING).withLibrary(library));
        refused(Code.INVALID, has + "own with states [exp_avg, exp_avg_sq], optional states [max_exp_avg_sq], scalars [] and flags []",
                () -> Rule.define("own").states("exp_avg", "exp_avg_sq", "max_exp_avg_sq?").update(NOTHING).withLibrary(library));
    }

    @Test
    void whatIsNoLibraryIsRefused() throws Exception {
        refused(Code.UNAVAILABLE, "Rule.load: " + folder.resolve("missing.so") + ": no such file",
                () -> Rule.load(folder.resolve("missing.so")));
        Path text = Files.writeString(folder.resolve("text.so"), "text");
        refused(Code.UNAVAILABLE, "Rule.load: " + text + ": cannot be loaded: is it a shared library for this machine",
                () -> Rule.load(text));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = ';', quoteCharacter = '`', textBlock = """
            OTHER_NAME                          ; UNAVAILABLE ; it has no panoptim_user_rule: compile kernels/user_rule.cpp with -include
            ABI=7                               ; UNAVAILABLE ; it was compiled with other headers (ABI 7, a rule of
            SIZE=8                              ; UNAVAILABLE ; it was compiled with other headers (ABI 2, a rule of 8 bytes)
            NAME=0                              ; UNAVAILABLE ; its panoptim_user_rule lacks a name or a list of names
            STATES=0                            ; UNAVAILABLE ; its panoptim_user_rule lacks a name or a list of names
            NAME="a rule"                       ; INVALID     ; 'a rule' among the names is not a word
            STATES="(a)(b)(c)(d)(e)(f)(g)"      ; INVALID     ; 7 states: at most 6 are possible
            """)
    void aDescriptionThatCannotBeReadIsRefused(String definition, Code code, String reason) throws Exception {
        Path library = describe(definition);
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> Rule.load(library));
        assertEquals(code, refusal.code());
        assertTrue(refusal.getMessage().contains(reason), refusal.getMessage());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = ';', quoteCharacter = '`', textBlock = """
            ROW=8                    ; INVALID     ; the rule was compiled with other headers: ABI 2,
            INSTRUCTIONS=0x80000000u ; UNSUPPORTED ; mine was compiled for instructions that this processor lacks: compile it with a
            SUM=__builtin_fmaf(a,b,c) ; INVALID    ; the compiler of mine fused products with sums, so that its results are not
            LOOPS32=0                ; INVALID     ; mine has a loop over 1 slots for one of float32 and float64 only
            LOOPS64=0                ; INVALID     ; mine has a loop over 1 slots for one of float32 and float64 only
            LOOPS=0                  ; INVALID     ; mine has no loop
            """)
    void aRuleThatAnEngineCannotTrustIsRefused(String definition, Code code, String reason) throws Exception {
        Rule rule = Rule.load(describe(definition));
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> TestEngines.cpu().table(rule, List.of()));
        assertEquals(code, refusal.code());
        assertTrue(refusal.getMessage().contains(rule.library().file() + ": register_rule: " + reason), refusal.getMessage());
    }

    @Test
    void aNumberOfSlotsThatTheLibraryHasNoLoopForIsRefused() throws Exception {
        Rule rule = Rule.load(describe("STATES=\"(m)(n)\""));
        refused(Code.INVALID, "Engine.step: step: tensor 0: rule mine does not have 2 state slots",
                () -> step(rule, vector(3, 5), vector(1, 2), vector(0, 0), vector(0, 0)));
    }

    @Test
    void aCompilerThatMayRoundOtherwiseIsFoundOut() throws Exception {
        Command fast = UserRules.tryToCompile(OWN, folder.resolve("libfast.so"), "-ffast-math");
        assertNotEquals(0, fast.status());
        assertTrue(fast.output().contains("compile it without -ffast-math"), fast.output());
        Rule fused = Rule.load(UserRules.compile(OWN, folder.resolve("libfused.so"), "-ffp-contract=fast"));
        refused(Code.INVALID, folder.resolve("libfused.so") + ": register_rule: the compiler of own fused products with sums",
                () -> TestEngines.cpu().table(fused, List.of()));
    }

    @Test
    void everyListOfNamesMayBeEmpty() throws Exception {
        Rule rule = Rule.load(descent());
        Tensor value = vector(3, 5);
        step(rule, value, vector(1, 2));
        assertEquals(List.of(2.0, 3.0), List.of(value.get(0), value.get(1)));
    }

    @Test
    void aRuleOfOnesOwnTakesSparseGradients() throws Exception {
        Rule rule = Rule.define("descent").update((a, x) -> x.value(a.subtract(x.value(), x.gradient()))).withLibrary(descent());
        Tensor indices = Tensor.zeros(arena, DType.INT64, 1);
        indices.set(0, 1);
        RowGradient gradient = new RowGradient(0, 0, new SparseGradient(indices, Tensor.of(arena, new float[] {1, 2}, 1, 2)),
                false, false, null);
        for (Engine engine : List.of(TestEngines.reference(), TestEngines.cpu())) {
            Tensor value = Tensor.zeros(arena, DType.FLOAT32, 2, 2);
            try (Table table = engine.table(rule, List.of(new TensorEntry("w", value, null, List.of(), 0)))) {
                engine.stepRows(table, rule, List.of(gradient), new Rows(1), null, Extras.NONE, Stream.DEFAULT);
            }
            assertEquals(List.of(0.0, 0.0, -1.0, -2.0), IntStream.range(0, 4).mapToObj(value::get).toList(), engine.name());
        }
    }

    /** The library of a rule that has no names. */
    private Path descent() throws IOException, InterruptedException {
        Path header = Files.writeString(folder.resolve("descent.h"), """
                #include "user_rule.h"
                PANOPTIM_RULE(descent, Descent, , , , )
                namespace panoptim {
                struct Descent {
                    template <class T>
                    static PANOPTIM_INLINE void update(const DescentScalars<T>&, T& p, T g) { p = p - g; }
                };
                }
                """);
        return UserRules.compile(header, folder.resolve("libdescent.so"));
    }

    @Test
    void aHeaderThatSaysTooMuchDoesNotCompile() throws Exception {
        Path header = Files.writeString(folder.resolve("full.h"), """
                #include "user_rule.h"
                PANOPTIM_RULE(full, Full, (a)(b)(c)(d), (e)(f)(g), , )
                namespace panoptim { struct Full {}; }
                """);
        Command command = UserRules.tryToCompile(header, folder.resolve("libfull.so"));
        assertTrue(command.output().contains("a rule has at most 6 states"), command.output());
    }

    private static void step(Rule rule, Tensor value, Tensor gradient, Tensor... states) {
        Engine engine = TestEngines.cpu();
        try (Table table = engine.table(rule, List.of(new TensorEntry("w", value, gradient, List.of(states), 0)))) {
            table.classes(new int[1]);
            engine.step(table, new Rows(1), null, Extras.NONE, Stream.DEFAULT);
        }
    }

    private Tensor vector(float... values) {
        return Tensor.of(arena, values);
    }

    /** A library whose description is right but for one definition. */
    private Path describe(String definition) throws IOException, InterruptedException {
        String compiler = Command.required("gcc", "clang");
        Path source = Files.writeString(folder.resolve("described.c"), """
                #include "table.h"
                #ifndef ABI
                #define ABI PANOPTIM_RULE_ABI
                #endif
                #ifndef SIZE
                #define SIZE sizeof(panoptim_rule)
                #endif
                #ifndef NAME
                #define NAME "mine"
                #endif
                #ifndef STATES
                #define STATES "(m)"
                #endif
                #ifndef ROW
                #define ROW sizeof(struct { double scalar[PANOPTIM_SCALARS]; uint32_t flags; double keep; double average; uint64_t noise; })
                #endif
                #ifndef INSTRUCTIONS
                #define INSTRUCTIONS 0
                #endif
                #ifndef SUM
                #define SUM product + c
                #endif
                #ifndef LOOPS
                #define LOOPS 1
                #endif
                #ifndef LOOPS32
                #define LOOPS32 LOOPS
                #endif
                #ifndef LOOPS64
                #define LOOPS64 LOOPS
                #endif
                static float multiply_add(float a, float b, float c) {
                    volatile float product = a * b;
                    return SUM;
                }
                static void loop(void) {}
                #ifndef OTHER_NAME
                const panoptim_rule panoptim_user_rule = {
                    .size = SIZE, .abi = ABI, .name = NAME, .states = STATES, .optional_states = "", .scalars = "(lr)",
                    .flags = "", .row_size = ROW, .instructions = INSTRUCTIONS, .multiply_add = multiply_add,
                    .float32 = {[1] = LOOPS32 ? loop : 0}, .float64 = {[1] = LOOPS64 ? loop : 0}};
                #endif
                """);
        Path library = folder.resolve("libdescribed.so");
        Command command = Command.run(Map.of("LD_PRELOAD", ""), List.of(compiler, "-march=native", "-shared", "-fPIC", "-I", "kernels",
                "-D", definition, source.toString(), "-o", library.toString()));
        assertEquals(0, command.status(), command.output());
        return library;
    }

    private static String list(List<String> names) {
        return names.stream().map(name -> "(" + name + ")").collect(Collectors.joining());
    }
}
