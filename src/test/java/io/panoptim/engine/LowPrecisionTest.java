package io.panoptim.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.panoptim.Bits;
import io.panoptim.MirrorEngine;
import io.panoptim.OnAllEngines;
import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.jspecify.annotations.Nullable;

/** Values of 16 bits and states of 8 are the same bits on every engine, and as near to float32 as they should be. */
@Tag("native")
class LowPrecisionTest extends OnAllEngines {
    private static final io.panoptim.engine.Stream STREAM = io.panoptim.engine.Stream.DEFAULT;
    private static final int[] SIZES = {0, 1, 255, 256, 257, 511, 1023, 1025, 5001, 9003};

    /** What stands beside a value. */
    enum Beside { NOTHING, MASTER, REMAINDER, COMPENSATION }

    /** How the states are stored: as a type of numbers, or in codes. */
    enum Format { FLOAT32, BFLOAT16, FLOAT16, DYNAMIC, COMPANDED, FLOAT8, DYNAMIC4 }

    record Scheme(Rule rule, DType value, DType gradient, Beside beside, boolean stochastic, Format format, DType scale) {
        StateCode code(int slot) {
            return switch (format) {
                case DYNAMIC -> rule.isUnsigned(slot) ? StateCode.DYNAMIC_UNSIGNED : StateCode.DYNAMIC_SIGNED;
                case COMPANDED -> rule.isUnsigned(slot) ? StateCode.COMPANDED_UNSIGNED : StateCode.COMPANDED_SIGNED;
                case FLOAT8 -> rule.isUnsigned(slot) ? StateCode.FLOAT8_UNSIGNED : StateCode.FLOAT8_SIGNED;
                case DYNAMIC4 -> rule.isUnsigned(slot) ? StateCode.LINEAR4_UNSIGNED : StateCode.DYNAMIC4_SIGNED;
                default -> null;
            };
        }

        DType state() {
            return switch (format) {
                case FLOAT32 -> DType.FLOAT32;
                case BFLOAT16 -> DType.BFLOAT16;
                case FLOAT16 -> DType.FLOAT16;
                default -> DType.UINT8;
            };
        }
    }

    static Stream<Scheme> schemes() {
        return Stream.of(Rule.ADAM, Rule.LAMB, Rule.SGD, Rule.LION, Rule.ADAGRAD, Rule.RMSPROP, Rule.ADEMAMIX).flatMap(rule -> Stream.of(
                new Scheme(rule, DType.BFLOAT16, DType.BFLOAT16, Beside.REMAINDER, false, Format.FLOAT32, DType.FLOAT32),
                new Scheme(rule, DType.BFLOAT16, DType.BFLOAT16, Beside.COMPENSATION, false, Format.BFLOAT16, DType.FLOAT32),
                new Scheme(rule, DType.FLOAT16, DType.FLOAT32, Beside.COMPENSATION, false, Format.FLOAT32, DType.FLOAT32),
                new Scheme(rule, DType.BFLOAT16, DType.BFLOAT16, Beside.NOTHING, true, Format.BFLOAT16, DType.FLOAT32),
                new Scheme(rule, DType.FLOAT16, DType.FLOAT16, Beside.MASTER, false, Format.FLOAT16, DType.FLOAT32),
                new Scheme(rule, DType.FLOAT32, DType.FLOAT32, Beside.NOTHING, true, Format.DYNAMIC, DType.FLOAT32),
                new Scheme(rule, DType.BFLOAT16, DType.BFLOAT16, Beside.REMAINDER, false, Format.DYNAMIC, DType.BFLOAT16),
                new Scheme(rule, DType.FLOAT32, DType.BFLOAT16, Beside.NOTHING, false, Format.COMPANDED, DType.FLOAT32),
                new Scheme(rule, DType.BFLOAT16, DType.BFLOAT16, Beside.NOTHING, true, Format.COMPANDED, DType.BFLOAT16),
                new Scheme(rule, DType.BFLOAT16, DType.FLOAT32, Beside.COMPENSATION, false, Format.COMPANDED, DType.FLOAT32),
                new Scheme(rule, DType.FLOAT32, DType.FLOAT32, Beside.NOTHING, false, Format.FLOAT8, DType.FLOAT32),
                new Scheme(rule, DType.BFLOAT16, DType.BFLOAT16, Beside.REMAINDER, false, Format.FLOAT8, DType.BFLOAT16),
                new Scheme(rule, DType.FLOAT32, DType.FLOAT32, Beside.NOTHING, false, Format.DYNAMIC4, DType.FLOAT32),
                new Scheme(rule, DType.BFLOAT16, DType.BFLOAT16, Beside.NOTHING, true, Format.DYNAMIC4, DType.BFLOAT16)));
    }

    /** Numbers of all magnitudes, zeros and special values now and then. */
    private static double number(Random random, boolean unsigned, boolean special) {
        double x = random.nextGaussian() * Math.scalb(1.0, random.nextInt(40) - 30);
        int kind = random.nextInt(500);
        if (kind < 20) {
            x = 0;
        } else if (special && kind < 22) {
            x = new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, 1e-42, -3e38}[random.nextInt(5)];
        }
        return unsigned ? Math.abs(x) : x;
    }

    /** Some tensors on one engine, each aligned to its elements and no further. */
    private static final class Model implements AutoCloseable {
        final Engine engine;
        final Arena arena = Arena.ofShared();
        final Map<String, Tensor> tensors = new LinkedHashMap<>();
        final Table table;
        final Rows rows = new Rows(2);
        final Scheme scheme;
        final boolean special;
        private final @Nullable Model like;

        /** With numbers of its own. */
        Model(Engine engine, Scheme scheme, boolean special) {
            this(engine, scheme, special, null);
        }

        /** With another's numbers: to make them takes longer than the steps. */
        Model(Engine engine, Model like) {
            this(engine, like.scheme, like.special, like);
        }

        private Model(Engine engine, Scheme scheme, boolean special, @Nullable Model like) {
            this.engine = engine;
            this.scheme = scheme;
            this.special = special;
            this.like = like;
            List<TensorEntry> entries = new ArrayList<>();
            Random random = new Random(7);
            for (int i = 0; i < SIZES.length; i++) {
                entries.add(entry(i, random));
            }
            table = engine.table(scheme.rule, entries);
            table.classes(IntStream.range(0, SIZES.length).map(i -> i % 2).toArray());
            fillRows(scheme.rule);
            if (like != null) {
                tensors.forEach((name, tensor) -> tensor.segment().copyFrom(like.tensors.get(name).segment()));
            }
        }

        private TensorEntry entry(int i, Random random) {
            String name = "t" + i;
            int size = SIZES[i];
            Tensor value = tensor(name + ".value", scheme.value, size);
            Tensor gradient = tensor(name + ".gradient", scheme.gradient, size);
            for (int j = 0; j < size && like == null; j++) {
                value.set(j, number(random, false, special));
                gradient.set(j, number(random, false, special));
            }
            List<Tensor> states = new ArrayList<>();
            Map<Integer, Tensor> others = new LinkedHashMap<>();
            Map<Integer, StateCode> codes = new LinkedHashMap<>();
            for (int slot = 0; slot < scheme.rule.states().size(); slot++) {
                StateCode code = scheme.code(slot);
                Tensor state = tensor(name + ".state" + slot, scheme.state(), code == null ? size : (int) code.bytes(size));
                states.add(state);
                float[] numbers = new float[size];
                for (int j = 0; j < size && like == null; j++) {
                    numbers[j] = (float) number(random, !scheme.rule.isQuantizable(slot) || scheme.rule.isUnsigned(slot), special);
                }
                if (code == null && like == null) {
                    IntStream.range(0, size).forEach(j -> state.set(j, numbers[j]));
                } else if (code != null) {
                    Tensor scales = tensor(name + ".scales" + slot, scheme.scale, (int) code.blocks(size));
                    if (like == null) {
                        code.quantize(numbers, state, scales, 0);
                    }
                    others.put(Column.SCALE + slot, scales);
                    codes.put(slot, code);
                }
            }
            if (scheme.beside != Beside.NOTHING) {
                boolean master = scheme.beside == Beside.MASTER;
                Tensor beside = tensor(name + ".beside", master ? DType.FLOAT32 : scheme.beside == Beside.REMAINDER ? DType.INT16
                        : scheme.value, size);
                for (int j = 0; j < size && like == null; j++) {
                    beside.set(j, master ? value.get(j) : scheme.beside == Beside.REMAINDER ? random.nextInt(65536) - 32768
                            : value.get(j) * 1e-3 * random.nextGaussian());
                }
                others.put(scheme.beside == Beside.COMPENSATION ? Column.COMPENSATION : Column.MASTER, beside);
            }
            Tensor average = tensor(name + ".average", scheme.value, size);
            Tensor copy = tensor(name + ".copy", DType.BFLOAT16, size);
            others.put(Column.AVERAGE, average);
            others.put(Column.COPY, copy);
            return new TensorEntry(name, value, gradient, states, others,
                    i * (scheme.rule == Rule.LAMB ? 1024L : 256L), 0, size, 100 + i, 1, codes);
        }

        private Tensor tensor(String name, DType dtype, int size) {
            int bytes = dtype.bytes();
            MemorySegment odd = arena.allocate(size * (long) bytes + bytes, 64).asSlice(bytes);
            Tensor tensor = Tensor.of(odd, dtype, size);
            tensors.put(name, tensor);
            return tensor;
        }

        private void fillRows(Rule rule) {
            for (int row = 0; row < 2; row++) {
                for (int i = 0; i < rule.scalars().size(); i++) {
                    rows.set(row, i, List.of(0.9, 0.5, 0.1, 0.999, 0.001, 1.5, 1e-3, -0.01, 0.2, 0.7, 0.3, 0.01).get(i % 12));
                }
                rows.average(row, row == 0 ? 0.001 : 0.7).keep(row, row == 0 ? 1 : 0.99).noise(row, 0x123456789L + row);
            }
            rows.flags(0, rule == Rule.RMSPROP ? RmspropRow.CENTERED : 0);
            rows.flags(1, rule == Rule.RMSPROP ? RmspropRow.CENTERED : rule == Rule.LAMB ? LambRow.ADAPT : 0);
        }

        Model steps(int count, Extras extras) {
            Extras all = scheme.stochastic ? extras.with(Extras.Part.STOCHASTIC) : extras;
            for (int step = 0; step < count; step++) {
                rows.noise(0, 17L + step).noise(1, -17L - step);
                engine.step(table, rows, null, all, STREAM);
            }
            return this;
        }

        void assertSame(Model actual, String what) {
            tensors.forEach((name, tensor) -> Bits.assertSame(tensor, actual.tensors.get(name), what + " " + name));
        }

        @Override
        public void close() {
            table.close();
            arena.close();
        }
    }

    /** Catalogue rows 18, 19 and 21: every combination, the bits of the oracle, at every alignment of elements. */
    @ParameterizedTest
    @MethodSource("schemes")
    void everySchemeIsTheSameBitsOnEveryEngine(Scheme scheme) {
        Extras following = Extras.of(Extras.Part.AVERAGE, Extras.Part.COPY);
        Extras flushing = Extras.of(Extras.Part.FLUSH_SUBNORMAL);
        List<Extras> all = List.of(Extras.NONE, scheme.rule == Rule.LAMB ? flushing.with(Extras.Part.STATISTICS) : flushing,
                new Extras(following.flags(), true)); // statistics are over whole leaves, which the others' slices cut
        for (boolean special : new boolean[] {false, true}) {
            try (Model start = new Model(TestEngines.reference(), scheme, special)) {
                for (Extras extras : all) {
                    try (Model expected = new Model(TestEngines.reference(), start).steps(3, extras)) {
                        for (Engine engine : engines) {
                            try (Model actual = new Model(engine, start).steps(3, extras)) {
                                String what = engine.description() + " " + scheme + " " + extras;
                                expected.assertSame(actual, what);
                                if (extras.has(Extras.Part.STATISTICS)) {
                                    assertArrayEquals(expected.table.statistics(), actual.table.statistics(), what);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    // ---- Codes

    /** Catalogue row 20: what bitsandbytes' create_dynamic_map gave under torch 2.13, as the bytes of float32. */
    @Test
    void codeBooksAreBitsandbytes() throws Exception {
        assertEquals("e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c", hash(StateCode.DYNAMIC_SIGNED));
        assertEquals("305f002cc11278fb769d13b25b9fd0c7c83c8402c40a878fe086f4039fde6398", hash(StateCode.DYNAMIC_UNSIGNED));
        assertTrue(StateCode.DYNAMIC_SIGNED.decode(0, 1) > -1, "the signed book has no -1");
        assertEquals(1, StateCode.DYNAMIC_SIGNED.decode(255, 1));
    }

    private static String hash(StateCode code) throws Exception {
        MemorySegment book = MemorySegment.ofArray(new byte[1024]);
        for (int i = 0; i < 256; i++) {
            book.set(ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(java.nio.ByteOrder.LITTLE_ENDIAN), i * 4L, code.decode(i, 1));
        }
        return sha256(book);
    }

    private static String sha256(MemorySegment bytes) throws Exception {
        return java.util.HexFormat.of().formatHex(java.security.MessageDigest.getInstance("SHA-256")
                .digest(bytes.toArray(ValueLayout.JAVA_BYTE)));
    }

    /** bitsandbytes' quantize_2D, as it is written. */
    private static int search(StateCode code, float x) {
        int pivot = 127;
        int upperPivot = 255;
        int lowerPivot = 0;
        float lower = code == StateCode.DYNAMIC_SIGNED ? -1 : 0;
        float upper = 1;
        float value = code.decode(pivot, 1);
        for (int i = 64; i > 0; i >>= 1) {
            if (x > value) {
                lowerPivot = pivot;
                lower = value;
                pivot += i;
            } else {
                upperPivot = pivot;
                upper = value;
                pivot -= i;
            }
            value = code.decode(pivot, 1);
        }
        return x > value ? x > (upper + value) * 0.5f ? upperPivot : pivot : x < (lower + value) * 0.5f ? lowerPivot : pivot;
    }

    /** What create_dynamic_map(True, 3, 4) of torchao's quant_utils.py gave under torch 2.13, as the bytes of float32. */
    @Test
    void theCodeBookOf4BitsIsTorchaos() throws Exception {
        MemorySegment book = MemorySegment.ofArray(new byte[64]);
        for (int i = 0; i < 16; i++) {
            book.set(ValueLayout.JAVA_FLOAT_UNALIGNED, i * 4L, StateCode.DYNAMIC4_SIGNED.decode(i, 1));
            assertEquals((i + 1) / 16f, StateCode.LINEAR4_UNSIGNED.decode(i, 1)); // torch.linspace(0, 1, 17)[1:]
        }
        assertEquals("721d11e3711326d4ab3439ccf09b717be5c5fac8a780691f145d2fb797c16400", sha256(book));
    }

    /** What src/test/golden/torchao_states.py recorded: codes, scales and the numbers that they stand for, bit for bit, on every engine. */
    @ParameterizedTest
    @EnumSource(names = {"DYNAMIC4_SIGNED", "LINEAR4_UNSIGNED", "FLOAT8_SIGNED"})
    void codesAndScalesAreTorchaos(StateCode code) throws Exception {
        JsonNode golden = new ObjectMapper().readTree(Path.of("src/test/golden/torchao-states.json").toFile());
        boolean signed = code != StateCode.LINEAR4_UNSIGNED;
        float[] numbers = new float[golden.get("size").asInt()];
        for (int i = 0; i < numbers.length; i++) {
            int x = (int) (i * 2654435761L + (signed ? 1 : 2) * 40503);
            x = (x ^ x >>> 16) * 0x7feb352d;
            x = (x ^ x >>> 15) * 0x846ca68b;
            x ^= x >>> 16;
            double magnitude = (x & 0xffffff) / 0x1p24 * Math.scalb(1.0, -(x >>> 24 & 7) - i / 128 % 23);
            numbers[i] = x >>> 28 == 0 ? 0 : (float) (signed && (x >>> 27 & 1) != 0 ? -magnitude : magnitude);
        }
        Tensor codes = Tensor.zeros(Arena.ofAuto(), DType.UINT8, code.bytes(numbers.length));
        Tensor scales = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, code.blocks(numbers.length));
        code.quantize(numbers, codes, scales, 0);
        JsonNode expected = golden.get(code.name());
        for (int i = 0; i < 16; i++) {
            assertEquals(expected.get("first_codes").get(i).asInt(), (int) codes.get(i), "byte " + i);
        }
        assertEquals(expected.get("codes").asText(), sha256(codes.segment()));
        assertEquals(expected.get("scales").asText(), sha256(scales.segment()));
        assertEquals(expected.get("values").asText(), sha256(MemorySegment.ofArray(code.dequantize(codes, scales, 0, numbers.length))));
        assertEncoded(code, numbers);
    }

    /** Every number at which a code of 4 bits changes, with its neighbours, and many others, on every engine. */
    @ParameterizedTest
    @EnumSource(names = {"DYNAMIC4_SIGNED", "LINEAR4_UNSIGNED"})
    void codesOf4BitsChangeWhereTheOraclesDo(StateCode code) {
        List<Float> numbers = new ArrayList<>(List.of(0f, -0f, 1f, 1e-45f, Float.MIN_NORMAL));
        for (int i = 0; i < 15; i++) {
            float low = code.decode(i, 1);
            float high = code.decode(i + 1, 1);
            while (Math.nextUp(low) < high) { // between them
                float middle = (float) (((double) low + high) / 2);
                boolean up = code.encode(middle == low || middle == high ? Math.nextUp(low) : middle, 1) > i;
                float at = middle == low || middle == high ? Math.nextUp(low) : middle;
                low = up ? low : at;
                high = up ? at : high;
            }
            assertEquals(i, code.encode(low, 1));
            assertEquals(i + 1, code.encode(high, 1));
            numbers.addAll(List.of(low, high, Math.nextDown(low), Math.nextUp(high), code.decode(i, 1)));
        }
        Random random = new Random(4);
        for (int i = 0; i < 1000; i++) {
            numbers.add((float) (code == StateCode.LINEAR4_UNSIGNED ? random.nextDouble() : random.nextDouble() * 2 - 1));
        }
        float[] all = new float[numbers.size() * 2 + 1]; // an odd number: the last byte has one code
        for (int i = 0; i < numbers.size(); i++) {
            all[2 * i] = numbers.get(i);
            all[2 * i + 1] = i % 32 == 0 ? 1 : 0;
        }
        all[all.length - 1] = 1;
        assertEncoded(code, all);
    }

    /** Every number at which the code changes, with its neighbours, and many others, on every engine. */
    @ParameterizedTest
    @EnumSource(names = {"DYNAMIC_SIGNED", "DYNAMIC_UNSIGNED"})
    void codesAreThoseThatBitsandbytesFinds(StateCode code) {
        List<Float> numbers = new ArrayList<>(List.of(0f, -0f, 1f, -1f, 1e-45f, Float.MIN_NORMAL));
        for (int i = 0; i < 255; i++) {
            float middle = (code.decode(i, 1) + code.decode(i + 1, 1)) * 0.5f;
            numbers.addAll(List.of(middle, Math.nextUp(middle), Math.nextDown(middle), code.decode(i, 1)));
        }
        Random random = new Random(3);
        for (int i = 0; i < 50_000; i++) {
            numbers.add((float) (random.nextGaussian() * Math.scalb(0.25, -random.nextInt(24))));
        }
        numbers.removeIf(x -> Math.abs(x) > 1 || code == StateCode.DYNAMIC_UNSIGNED && Float.floatToRawIntBits(x) < 0);
        for (Float x : numbers) {
            assertEquals(search(code, x), code.encode(x, 1), () -> code + " of " + x);
        }
        float[] all = new float[numbers.size() * 2];
        for (int i = 0; i < numbers.size(); i++) {
            all[2 * i] = numbers.get(i);
            all[2 * i + 1] = i % 64 == 0 ? 1 : 0; // so that every block's scale is 1
        }
        assertEncoded(code, all);
    }

    /** Stores numbers as states by a step that changes nothing, on every engine, and compares with the oracle's codes. */
    private static void assertEncoded(StateCode code, float[] numbers) {
        for (Engine engine : allEngines()) {
            assertEncoded(engine, code, isSlow(engine) ? Arrays.copyOf(numbers, Math.min(numbers.length, 3000)) : numbers);
        }
    }

    /** Whether kernels run on the host: then some thousand elements must do. */
    private static boolean isSlow(Engine engine) {
        return engine instanceof MirrorEngine && TestEngines.isCudaSlow();
    }

    private static void assertEncoded(Engine engine, StateCode code, float[] numbers) {
        try (Arena arena = Arena.ofShared()) {
            int size = numbers.length;
            Tensor expected = Tensor.zeros(arena, DType.UINT8, code.bytes(size));
            Tensor scales = Tensor.zeros(arena, DType.FLOAT32, code.blocks(size));
            code.quantize(numbers, expected, scales, 0);
            Tensor codes = Tensor.zeros(arena, DType.UINT8, code.bytes(size));
            Tensor other = Tensor.zeros(arena, DType.FLOAT32, code.blocks(size));
            // momentum_buffer = momentum * momentum_buffer + undampened * gradient, with 0 and 1
            TensorEntry entry = new TensorEntry("t", Tensor.zeros(arena, DType.FLOAT32, size), Tensor.of(arena, numbers),
                    List.of(codes), Map.of(Column.SCALE, other), 0, 0, size, 1, 1, Map.of(0, code));
            try (Table table = engine.table(Rule.SGD, List.of(entry))) {
                table.classes(new int[] {0});
                Rows rows = new Rows(1).set(0, SgdRow.UNDAMPENED, 1).flags(0, SgdRow.FIRST);
                engine.step(table, rows, null, Extras.NONE, STREAM);
            }
            Bits.assertSame(scales, other, engine.description());
            Bits.assertSame(expected, codes, engine.description());
        }
    }

    @ParameterizedTest
    @EnumSource
    void everyCodeComesBackAsItself(StateCode code) {
        for (float scale : new float[] {1, 3e-38f, 1e-18f, 1e12f, 3.4e38f, 0.7f}) {
            for (int i = 0; i < (code.isPacked() ? 16 : 256); i++) {
                float x = code.decode(i, scale);
                boolean unused = code == StateCode.COMPANDED_SIGNED && i == 0x80 || code.name().startsWith("FLOAT8") && (i & 0x7f) == 0x7f
                        || code == StateCode.FLOAT8_UNSIGNED && i >= 0x80
                        || Math.abs(x) < Float.MIN_NORMAL && x != 0 || Float.isInfinite(x); // these are not exact
                if (!unused) {
                    assertEquals(x, code.decode(code.encode(x, scale), scale), code + " " + i + " of " + scale);
                }
            }
            assertEquals(code == StateCode.LINEAR4_UNSIGNED ? scale / 16 : 0, code.decode(code.zero(), scale), "zero");
            assertEquals(code.zero(), code.encode(0, scale), "zero");
        }
    }

    /** Catalogue row 34: states as small as the squares of gradients of 1e-9, and as large as those of 1e6, keep their precision. */
    @ParameterizedTest
    @EnumSource
    void nothingOverflowsOrVanishes(StateCode code) {
        boolean unsigned = code.name().endsWith("UNSIGNED");
        for (DType type : List.of(DType.FLOAT32, DType.BFLOAT16)) {
            for (double magnitude : new double[] {1e-18 * 1e-3, 1e-9, 1, 1e6, 1e12, 1e38}) {
                Random random = new Random(5);
                float[] numbers = new float[1000];
                for (int i = 0; i < numbers.length; i++) {
                    double x = (0.3 + 0.7 * random.nextDouble()) * magnitude;
                    numbers[i] = (float) (unsigned || random.nextBoolean() ? x : -x);
                }
                Tensor codes = Tensor.zeros(Arena.ofAuto(), DType.UINT8, code.bytes(1000));
                Tensor scales = Tensor.zeros(Arena.ofAuto(), type, code.blocks(1000));
                code.quantize(numbers, codes, scales, 0);
                float[] back = code.dequantize(codes, scales, 0, 1000);
                for (int i = 0; i < numbers.length; i++) {
                    double bound = code.isPacked() ? 0.12 * magnitude : 0.065 * Math.abs(numbers[i]);
                    assertEquals(numbers[i], back[i], bound, code + " " + type + " " + magnitude);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatIsNotFiniteIsSeenInItsBlockAndNowhereElse(StateCode code) {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            float[] numbers = new float[700];
            Arrays.fill(numbers, 0.5f);
            numbers[300] = bad;
            Tensor codes = Tensor.zeros(Arena.ofAuto(), DType.UINT8, code.bytes(700));
            Tensor scales = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, code.blocks(700));
            code.quantize(numbers, codes, scales, 0);
            float[] back = code.dequantize(codes, scales, 0, 700);
            for (int i = 0; i < 700; i++) {
                assertEquals(i / code.block() == 300 / code.block(), Float.isNaN(back[i]), "element " + i);
            }
        }
    }

    @Test
    void aSecondMomentThatIsNotZeroDoesNotBecomeZero() {
        for (float x : new float[] {1e-6f, 1e-30f, 1e-45f}) {
            assertEquals(1, StateCode.COMPANDED_UNSIGNED.encode(x, 1));
            assertEquals(1, StateCode.FLOAT8_UNSIGNED.encode(x, 1));
        }
        assertEquals(0, StateCode.COMPANDED_UNSIGNED.encode(0, 1));
        assertEquals(0, StateCode.FLOAT8_UNSIGNED.encode(0, 1));
    }

    // ---- Values

    /** Every upper half with the lower halves at which something changes: the value and its remainder are the float32, bit for bit. */
    @Test
    void valueAndRemainderAreTheFloat32() {
        int[] lower = {0, 1, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff, 0x1234, 0xabcd};
        float[] all = new float[65536 * lower.length];
        for (int i = 0; i < all.length; i++) {
            all[i] = Float.intBitsToFloat(i / lower.length << 16 | lower[i % lower.length]);
        }
        float[] some = new float[all.length / 127];
        IntStream.range(0, some.length).forEach(i -> some[i] = all[i * 127]);
        try (Arena arena = Arena.ofShared()) {
            for (Engine engine : allEngines()) {
                float[] masters = isSlow(engine) ? some : all;
                Tensor value = Tensor.zeros(arena, DType.BFLOAT16, masters.length);
                Tensor remainder = Tensor.zeros(arena, DType.INT16, masters.length);
                subtract(engine, value, Map.of(Column.MASTER, remainder), masters);
                for (int i = 0; i < masters.length; i++) {
                    int low = (int) remainder.get(i);
                    int bits = (Float.floatToRawIntBits((float) value.get(i)) - (low < 0 ? 0x10000 : 0)) | low & 0xffff;
                    float x = masters[i];
                    if (Float.isNaN(x)) {
                        assertTrue(Float.isNaN((float) value.get(i)) && Float.isNaN(Float.intBitsToFloat(bits)));
                    } else {
                        // the step computes 0 + x: of the zeros only that with a plus
                        assertEquals(x == 0 ? 0 : Float.floatToRawIntBits(x), bits, engine.description() + " " + x);
                        assertTrue(Math.abs(x - value.get(i)) <= Math.ulp(x) * 32768.0 || Double.isInfinite(value.get(i)), "nearest");
                    }
                }
                // the next step reads what this one has stored
                subtract(engine, value, Map.of(Column.MASTER, remainder), new float[masters.length]);
                for (int i = 0; i < masters.length; i += 7) {
                    int low = (int) remainder.get(i);
                    int bits = (Float.floatToRawIntBits((float) value.get(i)) - (low < 0 ? 0x10000 : 0)) | low & 0xffff;
                    assertTrue(Float.isNaN(masters[i]) || (masters[i] == 0 ? 0 : Float.floatToRawIntBits(masters[i])) == bits);
                }
            }
        }
    }

    /** Steps by value - -1 * gradient. */
    private static void subtract(Engine engine, Tensor value, Map<Integer, Tensor> others, float[] gradient) {
        step(engine, new TensorEntry("t", value, Tensor.of(Arena.ofAuto(), gradient), List.of(), others, 0, 0, value.elements(), 1, 1),
                Extras.of(Extras.Part.STOCHASTIC), 1, 0);
    }

    private static void step(Engine engine, TensorEntry entry, Extras extras, double stepSize, long noise) {
        try (Table table = engine.table(Rule.SGD, List.of(entry))) {
            table.classes(new int[] {0});
            engine.step(table, new Rows(1).set(0, SgdRow.STEP_SIZE, stepSize).noise(0, noise), null, extras, STREAM);
        }
    }

    /** Values that lie between two bfloat16 numbers, rounded in one step. */
    private static short[] rounded(Engine engine, float x, int size, long origin, long id, long noise) {
        try (Arena arena = Arena.ofShared()) {
            float[] gradient = new float[size];
            Arrays.fill(gradient, x);
            Tensor value = Tensor.zeros(arena, DType.BFLOAT16, size);
            step(engine, new TensorEntry("t", value, Tensor.of(arena, gradient), List.of(), Map.of(), origin, 0, size, id, 1),
                    Extras.of(Extras.Part.STOCHASTIC), 1, noise);
            return value.segment().toArray(ValueLayout.JAVA_SHORT_UNALIGNED);
        }
    }

    /** Catalogue row 32: the noise goes by an element's place in the whole tensor, however that is cut; also beyond 2^32. */
    @Test
    void stochasticRoundingDoesNotDependOnSlicesOrChunks() {
        float x = 1.00390625f * 1.0001f;
        for (long origin : new long[] {0, 1024 * 7, (1L << 32) - 3072, (1L << 33) - 1024}) {
            short[] whole = rounded(TestEngines.reference(), x, 9000, origin, 5, 11);
            for (Engine engine : engines) {
                assertArrayEquals(whole, rounded(engine, x, 9000, origin, 5, 11), engine.description());
                for (int cut : new int[] {1024, 3072, 5120}) {
                    assertArrayEquals(Arrays.copyOf(whole, cut), rounded(engine, x, cut, origin, 5, 11));
                    assertArrayEquals(Arrays.copyOfRange(whole, cut, 9000), rounded(engine, x, 9000 - cut, origin + cut, 5, 11));
                }
            }
        }
    }

    /** Catalogue row 32: other noise for another tensor and for another step, and not the same numbers in another order. */
    @Test
    void noiseOfDifferentTensorsAndStepsIsIndependent() {
        Engine engine = engines.getFirst();
        int size = 1 << 16;
        float x = Float.intBitsToFloat(0x3f808000); // half-way: one bit of noise for each element
        short[] first = rounded(engine, x, size, 0, 1, 1);
        assertEquals(0.5, ones(first), 0.01);
        for (long[] other : new long[][] {{2, 1}, {1, 2}, {2, 2}, {1, 3}, {1, 1L << 32}, {1L << 32, 1}}) {
            short[] second = rounded(engine, x, size, 0, other[0], other[1]);
            assertEquals(0.5, agreement(first, second, 0), 0.01, Arrays.toString(other));
            for (int lag = 1; lag < size; lag = lag * 3 + 1) {
                assertEquals(0.5, agreement(first, second, lag), 0.012, "with places differing in the bits of " + lag);
            }
        }
        for (int lag = 1; lag < size; lag *= 2) {
            assertEquals(0.5, agreement(first, first, lag), 0.012, "with itself, places differing in the bits of " + lag);
        }
    }

    private static double ones(short[] rounded) {
        return IntStream.range(0, rounded.length).filter(i -> rounded[i] == 0x3f81).count() / (double) rounded.length;
    }

    private static double agreement(short[] a, short[] b, int lag) {
        return IntStream.range(0, a.length).filter(i -> a[i] == b[i ^ lag]).count() / (double) a.length;
    }

    @Test
    void stochasticRoundingIsUnbiasedAndStaysBetweenNeighbours() {
        Engine engine = engines.getFirst();
        for (float x : new float[] {1.001f, -1.001f, 3.3f, 1e-30f, -7e20f, 1e-40f}) {
            short[] rounded = rounded(engine, x, 1 << 16, 0, 3, 9);
            double mean = 0;
            int down = Float.floatToRawIntBits(x) >>> 16;
            for (short bits : rounded) {
                int value = Short.toUnsignedInt(bits);
                assertTrue(value == down || value == down + 1);
                mean += Float.intBitsToFloat(value << 16) / 65536.0;
            }
            double gap = Math.abs(Float.intBitsToFloat(down + 1 << 16) - Float.intBitsToFloat(down << 16));
            assertEquals(x, mean, 0.01 * gap);
        }
        for (float exact : new float[] {0, 1, -1.5f, 3.3895314e38f, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.NaN}) {
            for (short bits : rounded(engine, exact, 1000, 0, 3, 9)) {
                assertEquals(exact, Float.intBitsToFloat(bits << 16));
            }
        }
        float below = Float.intBitsToFloat(0x7f7f7fff); // to nearest even it is the largest finite number
        for (Engine each : allEngines()) {
            for (short bits : rounded(each, below, 1000, 0, 3, 9)) {
                assertEquals((short) 0x7f7f, bits);
            }
            assertEquals((short) 0x7f80, rounded(each, Float.MAX_VALUE, 1, 0, 3, 9)[0], "as to nearest even");
        }
    }

    /** Catalogue row 17: updates far below half an ulp of the value add up, exactly or on average; without anything they are lost. */
    @Test
    void smallUpdatesOfBfloat16ValuesAddUp() {
        int size = 4096;
        for (Beside beside : Beside.values()) {
            for (boolean stochastic : beside == Beside.NOTHING ? new boolean[] {false, true} : new boolean[] {false}) {
                try (Arena arena = Arena.ofShared()) {
                    Tensor value = Tensor.zeros(arena, DType.BFLOAT16, size);
                    float[] ones = new float[size];
                    Arrays.fill(ones, 1);
                    IntStream.range(0, size).forEach(i -> value.set(i, 0.1));
                    double start = value.get(0);
                    Map<Integer, Tensor> others = new LinkedHashMap<>();
                    switch (beside) {
                        case NOTHING -> { }
                        case MASTER -> others.put(Column.MASTER, filled(arena, size, start));
                        case REMAINDER -> others.put(Column.MASTER, Tensor.zeros(arena, DType.INT16, size));
                        case COMPENSATION -> others.put(Column.COMPENSATION, Tensor.zeros(arena, DType.BFLOAT16, size));
                    }
                    TensorEntry entry = new TensorEntry("t", value, Tensor.of(arena, ones), List.of(), others, 0, 0, size, 1, 1);
                    Engine engine = engines.getFirst();
                    Rows rows = new Rows(1).set(0, SgdRow.STEP_SIZE, -1e-6);
                    try (Table table = engine.table(Rule.SGD, List.of(entry))) {
                        table.classes(new int[] {0});
                        for (int step = 0; step < 20_000; step++) {
                            Extras extras = stochastic ? Extras.of(Extras.Part.STOCHASTIC) : Extras.NONE;
                            engine.step(table, rows.noise(0, step), null, extras, STREAM);
                        }
                    }
                    double mean = IntStream.range(0, size).mapToDouble(value::get).average().orElseThrow();
                    boolean moves = beside != Beside.NOTHING || stochastic;
                    // a compensation has 8 bits, too: it loses what is below the 512th part of half an ulp of the value
                    double tolerance = moves ? beside == Beside.COMPENSATION ? 0.002 : 3e-4 : 0;
                    assertEquals(moves ? start - 0.02 : start, mean, tolerance, beside + " " + stochastic);
                }
            }
        }
    }

    private static Tensor filled(Arena arena, int size, double x) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, size);
        IntStream.range(0, size).forEach(i -> tensor.set(i, x));
        return tensor;
    }

    @Test
    void whatCannotBeStoredSoIsRefusedByNameAndNothingIsWritten() {
        try (Arena arena = Arena.ofShared()) {
            for (Engine engine : allEngines()) {
                Tensor bfloat16 = Tensor.zeros(arena, DType.BFLOAT16, 512);
                Tensor float32 = Tensor.zeros(arena, DType.FLOAT32, 512);
                Tensor float64 = Tensor.zeros(arena, DType.FLOAT64, 512);
                Tensor codes = Tensor.zeros(arena, DType.UINT8, 512);
                Tensor scales = Tensor.zeros(arena, DType.FLOAT32, 2);
                assertRefused(engine, "an int16 one for bfloat16", float32, Column.MASTER, Tensor.zeros(arena, DType.INT16, 512));
                assertRefused(engine, "an int16 one for bfloat16", Tensor.zeros(arena, DType.FLOAT16, 512), Column.MASTER,
                        Tensor.zeros(arena, DType.INT16, 512));
                assertRefused(engine, "of a half type, of which it is, too", float32, Column.COMPENSATION, Tensor.zeros(arena, DType.FLOAT32, 512));
                assertRefused(engine, "of a half type, of which it is, too", bfloat16, Column.COMPENSATION,
                        Tensor.zeros(arena, DType.FLOAT16, 512));
                assertRefused(engine, "not quantised", float32, Column.SCALE, scales);
                assertCodesRefused(engine, "computed with in float32", float64, codes, Map.of(Column.SCALE, scales), 0, 512);
                assertCodesRefused(engine, "has no scales", float32, codes, Map.of(), 0, 512);
                assertCodesRefused(engine, "expected 2 of type", float32, codes, Map.of(Column.SCALE, Tensor.zeros(arena, DType.FLOAT32, 3)), 0, 512);
                assertCodesRefused(engine, "expected 2 of type", float32, codes, Map.of(Column.SCALE, Tensor.zeros(arena, DType.FLOAT16, 2)), 0, 512);
                assertCodesRefused(engine, "cuts", float32, codes, Map.of(Column.SCALE, scales), 128, 512);
                assertCodesRefused(engine, "cuts", float32, codes, Map.of(Column.SCALE, scales), 0, 500);
                assertCodesRefused(engine, "does not combine", float32, Tensor.zeros(arena, DType.FLOAT32, 512), Map.of(Column.SCALE, scales), 0, 512);
                TensorEntry row = new TensorEntry("t", float32, null, List.of(codes), Map.of(Column.SCALE, scales), 0, 0, 512, 1, 1,
                        Map.of(0, StateCode.DYNAMIC_SIGNED));
                assertTrue(assertThrows(PanoptimException.class, () -> engine.table(Rule.SGDP, List.of(row))).getMessage().contains("rows"));
                TensorEntry unmarked = new TensorEntry("t", float32, null, List.of(codes, float32), Map.of(Column.SCALE, scales), 0, 0, 512, 1, 1,
                        Map.of(0, StateCode.DYNAMIC_SIGNED));
                assertTrue(assertThrows(PanoptimException.class, () -> engine.table(Rule.NADAM, List.of(unmarked))).getMessage()
                        .contains("which 'exp_avg' of nadam cannot be"));
                TensorEntry copied = new TensorEntry("t", float32, Tensor.zeros(arena, DType.FLOAT32, 512), List.of(),
                        Map.of(Column.COPY, Tensor.zeros(arena, DType.FLOAT16, 512)), 0, 0, 512, 1, 1);
                Extras extras = new Extras(Extras.Part.COPY.flag(), true);
                assertTrue(assertThrows(PanoptimException.class, () -> step(engine, copied, extras, 1, 0)).getMessage().contains("only to bfloat16"));
                TensorEntry fine = new TensorEntry("t", float32, Tensor.zeros(arena, DType.FLOAT32, 512), List.of(codes),
                        Map.of(Column.SCALE, scales), 0, 0, 512, 1, 1, Map.of(0, StateCode.DYNAMIC_SIGNED));
                try (Table table = engine.table(Rule.SGD, List.of(fine))) {
                    assertTrue(assertThrows(PanoptimException.class,
                            () -> engine.map(table, MapOperation.zero(Column.STATE), STREAM)).getMessage().contains("not numbers"));
                }
                for (Tensor each : List.of(bfloat16, float32, float64, codes, scales)) {
                    assertTrue(IntStream.range(0, (int) each.elements()).allMatch(i -> each.get(i) == 0));
                }
            }
        }
    }

    private static void assertRefused(Engine engine, String words, Tensor value, int column, Tensor other) {
        TensorEntry entry = new TensorEntry("t", value, null, List.of(), Map.of(column, other), 0, 0, 512, 1, 1);
        String message = assertThrows(PanoptimException.class, () -> engine.table(Rule.SGD, List.of(entry))).getMessage();
        assertTrue(message.contains(words), message);
    }

    private static void assertCodesRefused(Engine engine, String words, Tensor value, Tensor codes, Map<Integer, Tensor> others,
                                           long begin, long end) {
        TensorEntry entry = new TensorEntry("t", value, null, List.of(codes), others, 0, begin, end, 1, 1,
                Map.of(0, StateCode.DYNAMIC_SIGNED));
        String message = assertThrows(PanoptimException.class, () -> engine.table(Rule.SGD, List.of(entry))).getMessage();
        assertTrue(message.contains(words), message);
        assertFalse(message.contains("null"), message);
    }

    private static List<Engine> allEngines() {
        return Stream.concat(Stream.of(TestEngines.reference()), engines.stream()).toList();
    }
}
