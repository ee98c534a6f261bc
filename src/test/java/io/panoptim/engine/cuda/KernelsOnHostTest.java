package io.panoptim.engine.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.panoptim.Bits;
import io.panoptim.TestEngines;
import io.panoptim.engine.ChunkPlan;
import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.HostControl;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleSums;
import io.panoptim.engine.RuleSums.Over;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TableImage;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_record;
import io.panoptim.ffi.panoptim_reduction;
import io.panoptim.ffi.panoptim_table;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.DoubleSupplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The kernels of {@code step.cu}, on the host, give the bits of the reference engine: each rule with each number of states, in every
 * dtype, over small and large tensors that begin anywhere.
 */
@Tag("native")
class KernelsOnHostTest {
    private static final long[][] SHAPES = {{1, 1}, {1, 7}, {3, 5}, {13, 79}, {2, 3000}, {1, 5003}, {40, 64}};
    /** The number of a tensor without a gradient. */
    private static final int ABSENT = 2;
    private static final int CLASSES = 2;
    private static final int STEPS = 4;
    private static final int CHUNK = 2 * ChunkPlan.LEAF;
    private static final int THREADS = 256;
    private static final long ARGUMENTS = 4096;

    private static CudaShim shim;
    private static long module;

    private final Arena arena = Arena.ofConfined();
    private final List<Long> allocated = new ArrayList<>();
    private final Random random = new Random(5);

    @BeforeAll
    static void open() {
        shim = CudaShim.open();
        shim.check("cuInit", 0);
        shim.check("cuCtxSetCurrent", MemorySegment.ofAddress(shim.get("cuDevicePrimaryCtxRetain", 0)));
        try (Arena image = Arena.ofConfined()) {
            module = shim.get("cuModuleLoadData", image.allocateFrom(".version 9.0"));
        }
    }

    @AfterAll
    static void close() {
        if (shim != null) {
            shim.check("cuDevicePrimaryCtxRelease_v2", 0);
            shim.close();
        }
    }

    @AfterEach
    void free() {
        allocated.forEach(address -> shim.check("cuMemFree_v2", address));
        arena.close();
        shim.reset();
    }

    /** One rule with a number of slots; the types of the value, and of all others; whether the value has a master. */
    record Case(Rule rule, int slots, DType value, DType others, boolean master) {
        @Override
        public String toString() {
            return rule + " " + slots + ", " + value + (value == others ? "" : " with " + others) + (master ? " and a master" : "");
        }
    }

    static List<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (Rule rule : Rule.all()) {
            for (int slots = rule.minSlots(); slots <= rule.states().size(); slots++) {
                for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
                    cases.add(new Case(rule, slots, dtype, dtype, false));
                }
                cases.add(new Case(rule, slots, DType.BFLOAT16, DType.FLOAT32, false));
                cases.add(new Case(rule, slots, DType.FLOAT16, DType.BFLOAT16, true));
            }
        }
        return cases;
    }

    /** Where tensors are made; the offset is that of their first element from a vector's boundary. */
    private interface Memory {
        Tensor tensor(DType dtype, int offset, long... shape);
    }

    private Tensor onHost(DType dtype, int offset, long... shape) {
        return misaligned(arena.allocate(bytes(dtype, shape) + 64, 64), dtype, offset, shape);
    }

    private Tensor onDevice(DType dtype, int offset, long... shape) {
        long bytes = bytes(dtype, shape) + 64;
        return misaligned(MemorySegment.ofAddress(allocate(bytes)).reinterpret(bytes), dtype, offset, shape);
    }

    private static Tensor misaligned(MemorySegment memory, DType dtype, int offset, long... shape) {
        return Tensor.of(memory.asSlice(offset * dtype.bytes() % 64, bytes(dtype, shape)), dtype, shape);
    }

    private static long bytes(DType dtype, long... shape) {
        return Arrays.stream(shape).reduce(1, (a, b) -> a * b) * dtype.bytes();
    }

    private long allocate(long bytes) {
        long address = shim.get("cuMemAlloc_v2", bytes);
        allocated.add(address);
        return address;
    }

    private long upload(MemorySegment host) {
        long address = allocate(Math.max(1, host.byteSize()));
        shim.check("cuMemcpyHtoD_v2", address, host, host.byteSize());
        return address;
    }

    private static List<TensorEntry> entries(Case of, Memory memory) {
        Random random = new Random(5);
        List<TensorEntry> entries = new ArrayList<>();
        Tensor everyTensors = null;
        for (int i = 0; i < SHAPES.length; i++) {
            Tensor value = filled(memory.tensor(of.value, 2 * i + 1, SHAPES[i]), random::nextGaussian);
            Tensor gradient = filled(memory.tensor(of.others, i, SHAPES[i]), random::nextGaussian);
            List<Tensor> states = new ArrayList<>();
            for (int slot = 0; slot < of.slots; slot++) {
                states.add(filled(memory.tensor(of.others, i + slot, SHAPES[i]), random::nextDouble));
            }
            long rows = SHAPES[i][0];
            if (!of.rule.sharedStates().isEmpty()) {
                Over over = of.rule.sums().over();
                long shared = of.rule.sharedStates().size() * (over == Over.ROW ? rows : 1);
                if (over != Over.GLOBAL || everyTensors == null) {
                    everyTensors = filled(memory.tensor(DType.FLOAT64, 0, shared), random::nextDouble);
                }
                states.add(everyTensors);
            }
            Map<Integer, Tensor> others = new HashMap<>();
            others.put(Column.AVERAGE, filled(memory.tensor(of.value, 3 * i, SHAPES[i]), random::nextGaussian));
            DType copy = of.value == DType.FLOAT64 ? DType.FLOAT64 : DType.FLOAT16;
            others.put(Column.COPY, filled(memory.tensor(copy, i + 2, SHAPES[i]), random::nextGaussian));
            if (of.master) {
                others.put(Column.MASTER, filled(memory.tensor(DType.FLOAT32, i, SHAPES[i]), random::nextGaussian));
            }
            entries.add(new TensorEntry("t" + i, value, i == ABSENT ? null : gradient, states, others, 0, 0, value.elements(), i, rows));
        }
        return entries;
    }

    private static Tensor filled(Tensor tensor, DoubleSupplier numbers) {
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, numbers.getAsDouble());
        }
        return tensor;
    }

    private static int[] classes() {
        return IntStream.range(0, SHAPES.length).map(i -> i == ABSENT ? Table.ABSENT : i % CLASSES).toArray();
    }

    private Rows rows(Case of, int step) {
        Rows rows = new Rows(CLASSES);
        for (int row = 0; row < CLASSES; row++) {
            for (int scalar = 0; scalar < of.rule.scalars().size(); scalar++) {
                rows.set(row, scalar, random.nextDouble(0.05, 0.95));
            }
            rows.flags(row, flags(of, step * CLASSES + row)).keep(row, 0.9).average(row, row == 0 ? 0.01 : 0.9);
        }
        return rows;
    }

    /** None, and then each flag alone, but those that go with a number of states or with other flags. */
    private static int flags(Case of, int turn) {
        List<String> flags = of.rule.flags();
        int centered = flags.contains("centered") ? of.rule.flag("centered") : 0;
        int turns = turn % (flags.size() + 1) == 0 ? 0 : 1 << turn % (flags.size() + 1) - 1;
        int always = of.slots == 3 ? centered : 0;
        int never = of.slots == 1 ? centered : 0;
        return (turns | always) & ~never;
    }

    /** What a table is on the device, and the launches of a step. */
    private final class Launcher {
        final Case of;
        final String type;
        final MemorySegment arguments = arena.allocate(ARGUMENTS, 64);
        final MemorySegment finishArguments = arena.allocate(ARGUMENTS, 64);
        final int chunks;
        final int reductions;

        Launcher(Case of, Table table) {
            this.of = of;
            this.type = of.value.computeType().toString();
            TableImage image = new TableImage(table, of.rule.id(), CHUNK, arena);
            IntStream.range(0, table.size()).forEach(image::updateClass);
            chunks = image.steps().plan().size();
            MemorySegment plan = image.over(image.steps(), 0, chunks, arena);
            reductions = (int) panoptim_table.reduction_count(plan);
            long records = upload(panoptim_table.records(plan).reinterpret(table.size() * panoptim_record.sizeof()));
            arguments.set(JAVA_LONG, 0, records);
            arguments.set(JAVA_LONG, 8, upload(image.steps().segment()));
            RuleSums sums = of.rule.sums();
            if (sums != null) {
                arguments.set(JAVA_LONG, 24, upload(arena.allocate(JAVA_DOUBLE, table.sums().leafCount() * sums.sums().size())));
                arguments.set(JAVA_LONG, 32, upload(arena.allocate(JAVA_DOUBLE, table.sums().reducedCount() * sums.reduced().size())));
                finishArguments.set(JAVA_LONG, 0, records);
                finishArguments.set(JAVA_LONG, 8, upload(panoptim_table.reductions(plan)
                        .reinterpret(reductions * panoptim_reduction.sizeof())));
                MemorySegment.copy(arguments, 24, finishArguments, 24, 16);
            }
        }

        void ride(Extras extras, HostControl control) {
            long block = upload(control.segment());
            for (MemorySegment each : List.of(arguments, finishArguments)) {
                each.set(JAVA_INT, 44, extras.flags());
                each.set(JAVA_LONG, 48, block);
            }
        }

        /** With the rows among the arguments, or in the device's memory. */
        void step(Rows rows, boolean among) {
            DType compute = of.value.computeType();
            MemorySegment rounded = rounded(rows, compute);
            arguments.asSlice(64).copyFrom(rounded);
            arguments.set(JAVA_LONG, 16, among ? 0 : upload(rounded));
            String rule = of.rule + "_" + type + "_" + of.slots;
            if (of.rule.sums() != null) {
                MemorySegment unrounded = rounded(rows, DType.FLOAT64);
                finishArguments.asSlice(64).copyFrom(unrounded);
                finishArguments.set(JAVA_LONG, 16, among ? 0 : upload(unrounded));
                if (of.rule.sums().over() == Over.GLOBAL) {
                    finish(true);
                }
                launch("panoptim_measure_" + rule, chunks, arguments);
                finish(false);
            }
            launch("panoptim_step_" + rule, chunks, arguments);
            shim.check("cuCtxSynchronize");
        }

        private void finish(boolean before) {
            finishArguments.set(JAVA_INT, 40, before ? 1 : 0);
            launch("panoptim_finish_" + of.rule, reductions, finishArguments);
        }

        private MemorySegment rounded(Rows rows, DType compute) {
            boolean single = compute == DType.FLOAT32;
            MemorySegment all = arena.allocate((single ? KernelRows.FLOAT : KernelRows.DOUBLE) * CLASSES, 8);
            if (single) {
                KernelRows.writeFloats(rows, CLASSES, all, 0);
            } else {
                KernelRows.writeDoubles(rows, CLASSES, all, 0);
            }
            return all;
        }
    }

    private void launch(String kernel, int blocks, MemorySegment... parameters) {
        shim.check("cuLaunchKernel", function(kernel), blocks, 1, 1, THREADS, 1, 1, 0, MemorySegment.NULL, pointers(parameters),
                MemorySegment.NULL);
    }

    private MemorySegment function(String kernel) {
        return MemorySegment.ofAddress(shim.get("cuModuleGetFunction", module, arena.allocateFrom(kernel)));
    }

    private MemorySegment pointers(MemorySegment... parameters) {
        MemorySegment pointers = arena.allocate(ADDRESS, Math.max(1, parameters.length));
        for (int i = 0; i < parameters.length; i++) {
            pointers.setAtIndex(ADDRESS, i, parameters[i]);
        }
        return pointers;
    }

    private static Table table(Case of, List<TensorEntry> entries) {
        Table table = TestEngines.reference().table(of.rule, entries);
        table.classes(classes());
        return table;
    }

    private static final List<Extras> EXTRAS = List.of(Extras.NONE, Extras.of(Extras.Part.ZERO_GRADIENT, Extras.Part.COPY),
            Extras.of(Extras.Part.SKIP), Extras.of(Extras.Part.UNSCALE, Extras.Part.CLIP, Extras.Part.WRITE_GRADIENT,
                    Extras.Part.AVERAGE, Extras.Part.COPY, Extras.Part.FLUSH_SUBNORMAL, Extras.Part.SKIP));

    /** In the last step blocks, warps and threads take turns backwards; in the third nothing happens. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void giveTheBitsOfTheReferenceEngine(Case of) {
        Engine reference = TestEngines.reference();
        List<TensorEntry> expected = entries(of, this::onHost);
        List<TensorEntry> actual = entries(of, this::onDevice);
        try (Table table = table(of, expected); Table planned = table(of, actual);
             HostControl control = (HostControl) reference.control()) {
            Launcher launcher = new Launcher(of, planned);
            for (int step = 0; step < STEPS; step++) {
                Rows rows = rows(of, step);
                Extras extras = EXTRAS.get(step);
                if (step > 1) { // they were zeroed
                    random.setSeed(step);
                    expected.forEach(entry -> fill(entry.gradient()));
                    random.setSeed(step);
                    actual.forEach(entry -> fill(entry.gradient()));
                }
                control.scale(3, 0, 1, Stream.DEFAULT);
                if (extras.has(Extras.Part.CLIP)) {
                    reference.measure(List.of(table), new Measurement(2, 0.7, true, true), control, Stream.DEFAULT);
                }
                control.foundInf(step == 2 ? Float.NaN : 0, Stream.DEFAULT);
                launcher.ride(extras, control);
                shim.set("backwards", step == STEPS - 1 ? 1 : 0);
                reference.step(table, rows, control, extras, Stream.DEFAULT);
                launcher.step(rows, step == 0);
                compare(expected, actual, "step " + step);
            }
        }
    }

    private void fill(Tensor gradient) {
        if (gradient != null) {
            filled(gradient, random::nextGaussian);
        }
    }

    private static void compare(List<TensorEntry> expected, List<TensorEntry> actual, String when) {
        for (int i = 0; i < expected.size(); i++) {
            TensorEntry entry = expected.get(i);
            String what = " of " + Arrays.toString(SHAPES[i]) + ", " + when;
            Bits.assertSame(entry.value(), actual.get(i).value(), "value" + what);
            if (entry.gradient() != null) {
                Bits.assertSame(entry.gradient(), actual.get(i).gradient(), "gradient" + what);
            }
            for (int slot = 0; slot < entry.states().size(); slot++) {
                Bits.assertSame(entry.states().get(slot), actual.get(i).states().get(slot), "state " + slot + what);
            }
            for (int column : entry.others().keySet()) {
                Bits.assertSame(entry.others().get(column), actual.get(i).others().get(column), Column.name(column) + what);
            }
        }
    }

    @Test
    void knowTheRulesThatTheyWereCompiledFrom() {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment size = own.allocate(JAVA_LONG);
            long address = shim.get("cuModuleGetGlobal_v2", size, module, own.allocateFrom("panoptim_rules_hash"));
            MemorySegment text = own.allocate(size.get(JAVA_LONG, 0));
            shim.check("cuMemcpyDtoH_v2", text, address, text.byteSize());
            assertEquals(Rule.HASH, text.getString(0));
        }
    }
}
