package io.panoptim.optim.matrix;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.ScarceEngine;
import io.panoptim.TestEngines;
import io.panoptim.engine.DionFactorRow;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.matrix.Dion.Options;
import io.panoptim.optim.matrix.Dion.QrMethod;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Dion's steps: by their definition, shapes, layouts, types, batches, degenerate input, states and what is refused. */
@Tag("native")
class DionTest extends StepsOfTensors {
    private static final Options PLAIN = Options.defaults().withLr(0.1).withWeightDecay(0);

    static List<Engine> engines() {
        return TestEngines.multiplying();
    }

    // ---- The oracle: dion_reference.py in float64, by Gram and Schmidt

    /** A matrix as rows. */
    private record Dense(double[][] rows) {
        static Dense of(Tensor tensor) {
            Tensor ordered = tensor.rowMajor(Arena.ofAuto());
            int rows = (int) ordered.shape()[0];
            int columns = (int) (ordered.elements() / rows);
            double[][] values = new double[rows][columns];
            for (int i = 0; i < rows * columns; i++) {
                values[i / columns][i % columns] = ordered.get(i);
            }
            return new Dense(values);
        }

        double at(int i, int j) {
            return rows[i][j];
        }

        int height() {
            return rows.length;
        }

        int width() {
            return rows[0].length;
        }

        Dense transposed() {
            double[][] values = new double[width()][height()];
            for (int i = 0; i < height(); i++) {
                for (int j = 0; j < width(); j++) {
                    values[j][i] = rows[i][j];
                }
            }
            return new Dense(values);
        }

        Dense times(Dense other) {
            double[][] values = new double[height()][other.width()];
            for (int i = 0; i < height(); i++) {
                for (int k = 0; k < width(); k++) {
                    for (int j = 0; j < other.width(); j++) {
                        values[i][j] += rows[i][k] * other.rows[k][j];
                    }
                }
            }
            return new Dense(values);
        }

        /** {@code a this + b other}. */
        Dense plus(double a, double b, Dense other) {
            double[][] values = new double[height()][width()];
            for (int i = 0; i < height(); i++) {
                for (int j = 0; j < width(); j++) {
                    values[i][j] = a * rows[i][j] + b * other.rows[i][j];
                }
            }
            return new Dense(values);
        }

        /** The columns of length 1, but for what is added to their lengths, and if wanted orthogonal to those before. */
        Dense normalized(double eps, boolean orthogonal) {
            double[][] columns = transposed().rows;
            for (int i = 0; i < columns.length; i++) {
                for (int again = 0; again < 2 && orthogonal; again++) {
                    for (int j = 0; j < i; j++) {
                        double dot = dot(columns[i], columns[j]);
                        for (int k = 0; k < columns[i].length; k++) {
                            columns[i][k] -= dot * columns[j][k];
                        }
                    }
                }
                double length = Math.sqrt(dot(columns[i], columns[i])) + eps;
                for (int k = 0; k < columns[i].length; k++) {
                    columns[i][k] /= length;
                }
            }
            return new Dense(columns).transposed();
        }

        void assertNear(Dense other, double tolerance, String what) {
            for (int i = 0; i < height(); i++) {
                assertArrayEquals(rows[i], other.rows[i], tolerance, what + ", row " + i);
            }
        }
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }

    /** One parameter's step; Q's signs are another's where the QR method's are. */
    private static final class Oracle {
        final Options options;
        Dense x;
        Dense momentum;
        Dense q;

        Oracle(Options options, Tensor value) {
            this.options = options;
            this.x = Dense.of(value);
            this.momentum = x.plus(0, 0, x);
        }

        void step(Dense gradient) {
            boolean wide = x.height() < x.width();
            momentum = momentum.plus(1, 1, gradient);
            Dense b = wide ? momentum.transposed() : momentum;
            Dense p = null;
            Dense r = q;
            for (int i = 0; i < options.powerIters(); i++) {
                p = b.times(r).normalized(0, true);
                r = b.transposed().times(p);
            }
            Dense approximation = p.times(r.transposed());
            momentum = momentum.plus(1, -(1 - options.mu()), wide ? approximation.transposed() : approximation);
            q = r.normalized(options.epsilon(), false);
            Dense update = p.times(q.transposed());
            x = x.plus(1 - options.lr() * options.weightDecay(), -options.lr() * Math.sqrt((double) x.height() / x.width()),
                    wide ? update.transposed() : update);
        }
    }

    private static final long[][] SHAPES = {{5, 3}, {3, 5}, {4, 4}, {1, 7}, {7, 1}, {1, 1}, {40, 9}, {6, 2, 5}, {2, 3, 4}};

    /** The first Q, which is only in the state when it has changed: steps without gradients leave it but for the lengths of its columns. */
    private static Dense firstQ(Engine engine, Tensor like, Options options) {
        try (Arena own = Arena.ofShared()) {
            Parameter zero = Parameter.of(Tensor.zeros(own, like.dtype(), like.shape()))
                    .gradient(Tensor.zeros(own, like.dtype(), like.shape()));
            try (Dion dion = new Dion(engine, List.of(zero), options)) {
                dion.step();
                return Dense.of(dion.state(zero).get("Q"));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void stepsAreTheirDefinition(Engine engine) {
        List<Options> all = List.of(PLAIN.withQrMethod(QrMethod.QR), PLAIN.withRankFraction(0.5).withMu(0.5).withWeightDecay(0.3),
                PLAIN.withRankFraction(0.1).withPowerIters(3), PLAIN.withRankFraction(0.3).withRankMultipleOf(2).withEpsilon(0.1).withSeed(9),
                PLAIN.withRankFraction(0.7).withQrMethod(QrMethod.CQR), PLAIN.withQrMethod(QrMethod.CQR).withMu(0));
        for (DType dtype : List.of(DType.FLOAT64, DType.FLOAT32)) {
            double tolerance = dtype == DType.FLOAT64 ? 1e-10 : 2e-4;
            for (Options options : all) {
                for (long[] shape : SHAPES) {
                    String what = Arrays.toString(shape) + ", " + options + ", " + dtype + ", " + engine.name();
                    Parameter w = Parameter.of(gaussian(dtype, shape));
                    Oracle oracle = new Oracle(options, w.value());
                    oracle.q = firstQ(engine, w.value(), options);
                    int least = Math.min(oracle.x.height(), oracle.x.width());
                    int rank = (int) Math.min(least, options.rankMultipleOf() * Math.ceil(options.rankFraction() * least / options.rankMultipleOf()));
                    try (Dion dion = new Dion(engine, List.of(w), options)) {
                        for (int step = 0; step < 4; step++) {
                            w.gradient(gaussian(dtype, shape));
                            dion.step();
                            oracle.step(Dense.of(w.gradient()));
                        }
                        Map<String, Tensor> state = dion.state(w);
                        assertEquals(List.of("momentum", "Q"), List.copyOf(state.keySet()));
                        assertArrayEquals(new long[] {least, rank}, state.get("Q").shape(), what);
                        oracle.x.assertNear(Dense.of(w.value()), tolerance, what);
                        oracle.momentum.assertNear(Dense.of(state.get("momentum")), 10 * tolerance, what);
                        Dense q = Dense.of(state.get("Q"));
                        Dense products = oracle.q.transposed().times(q);
                        for (int j = 0; j < rank; j++) { // up to the sign
                            double[] expected = oracle.q.transposed().rows[j];
                            assertEquals(dot(expected, expected), Math.abs(products.at(j, j)), 10 * tolerance, what);
                        }
                    }
                }
            }
        }
    }

    /** From a parameter of zeros the first step leaves {@code -lr sqrt(m / n) P Q^T}, from which Q gives P. */
    @ParameterizedTest
    @MethodSource("engines")
    void leftFactorsAreOrthonormalAndRightOnesHaveLengthOne(Engine engine) {
        for (QrMethod method : QrMethod.values()) {
            for (long[] shape : new long[][] {{200, 30}, {30, 200}, {64, 64}}) {
                Parameter w = Parameter.of(Tensor.zeros(arena, DType.FLOAT32, shape)).gradient(gaussian(DType.FLOAT32, shape));
                try (Dion dion = new Dion(engine, List.of(w), PLAIN.withRankFraction(0.2).withLr(1).withQrMethod(method))) {
                    dion.step();
                    Dense q = Dense.of(dion.state(w).get("Q"));
                    Dense update = Dense.of(w.value());
                    Dense along = (shape[0] < shape[1] ? update.transposed() : update).plus(-Math.sqrt((double) shape[1] / shape[0]), 0,
                            shape[0] < shape[1] ? update.transposed() : update);
                    Dense gram = q.transposed().times(q);
                    for (int j = 0; j < gram.width(); j++) {
                        assertEquals(1, gram.at(j, j), 1e-5);
                    }
                    Dense left = along.times(q).times(inverse(gram));
                    Dense identity = left.transposed().times(left);
                    for (int i = 0; i < identity.height(); i++) {
                        for (int j = 0; j < identity.width(); j++) {
                            assertEquals(i == j ? 1 : 0, identity.at(i, j), 1e-4, method + " " + engine.name());
                        }
                    }
                }
            }
        }
    }

    /** By Gauss and Jordan; for matrices with a large diagonal. */
    private static Dense inverse(Dense matrix) {
        int n = matrix.height();
        double[][] a = matrix.plus(1, 0, matrix).rows;
        double[][] inverse = new double[n][n];
        for (int i = 0; i < n; i++) {
            inverse[i][i] = 1;
        }
        for (int k = 0; k < n; k++) {
            double pivot = a[k][k];
            for (int j = 0; j < n; j++) {
                a[k][j] /= pivot;
                inverse[k][j] /= pivot;
            }
            for (int i = 0; i < n; i++) {
                double factor = i == k ? 0 : a[i][k];
                for (int j = 0; j < n; j++) {
                    a[i][j] -= factor * a[k][j];
                    inverse[i][j] -= factor * inverse[k][j];
                }
            }
        }
        return new Dense(inverse);
    }

    @ParameterizedTest
    @MethodSource("engines")
    void theMethodsDifferInSignsOnly(Engine engine) {
        List<double[]> results = new ArrayList<>();
        for (QrMethod method : QrMethod.values()) {
            random.setSeed(6);
            Parameter w = Parameter.of(gaussian(DType.FLOAT64, 50, 20));
            try (Dion dion = new Dion(engine, List.of(w), PLAIN.withRankFraction(0.5).withQrMethod(method))) {
                for (int step = 0; step < 5; step++) {
                    w.gradient(gaussian(DType.FLOAT64, 50, 20));
                    dion.step();
                }
            }
            results.add(values(w.value()));
        }
        assertArrayEquals(results.get(0), results.get(1), 1e-11);
    }

    @ParameterizedTest
    @MethodSource("engines")
    void matricesOfOneShapeGoTogetherAsTheyWouldApart(Engine engine) {
        List<double[]> results = new ArrayList<>();
        for (int alone = -1; alone < 3; alone++) {
            random.setSeed(8);
            List<Parameter> parameters = List.of(Parameter.of(gaussian(DType.FLOAT64, 6, 9)), Parameter.of(gaussian(DType.FLOAT64, 6, 9)),
                    Parameter.of(gaussian(DType.FLOAT64, 9, 6)));
            try (Dion dion = new Dion(engine, parameters, PLAIN.withRankFraction(0.5))) {
                for (int step = 0; step < 5; step++) {
                    for (int i = 0; i < parameters.size(); i++) {
                        Tensor gradient = gaussian(DType.FLOAT64, parameters.get(i).value().shape());
                        parameters.get(i).gradient(alone >= 0 && alone != i || step == 2 && i == 0 ? null : gradient);
                    }
                    dion.step();
                }
            }
            if (alone < 0) {
                parameters.forEach(parameter -> results.add(values(parameter.value())));
            } else {
                assertArrayEquals(results.get(alone), values(parameters.get(alone).value()), 1e-10, "parameter " + alone);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void columnMajorMatricesStepAsRowMajorOnes(Engine engine) {
        for (long[] shape : new long[][] {{6, 4}, {4, 6}, {5, 5}, {1, 5}}) {
            List<Dense> results = new ArrayList<>();
            for (boolean columns : new boolean[] {false, true}) {
                random.setSeed(3);
                Parameter w = Parameter.of(inColumns(gaussian(DType.FLOAT64, shape), columns));
                try (Dion dion = new Dion(engine, List.of(w), PLAIN.withRankFraction(0.5))) {
                    for (int step = 0; step < 3; step++) {
                        w.gradient(inColumns(gaussian(DType.FLOAT64, shape), columns));
                        dion.step();
                    }
                    results.add(Dense.of(w.value()));
                    results.add(Dense.of(dion.state(w).get("momentum")));
                    results.add(Dense.of(dion.state(w).get("Q")));
                }
            }
            for (int i = 0; i < 3; i++) {
                results.get(i).assertNear(results.get(i + 3), 1e-11, Arrays.toString(shape) + ", " + i);
            }
        }
    }

    private Tensor inColumns(Tensor matrix, boolean columns) {
        long[] shape = matrix.shape();
        Tensor copy = columns ? Tensor.zeros(arena, matrix.dtype(), shape[1], shape[0]).transposed() : Tensor.zeros(arena, matrix.dtype(), shape);
        for (long i = 0; i < matrix.elements(); i++) {
            copy.set(i / shape[1] * copy.strides()[0] + i % shape[1] * copy.strides()[1], matrix.get(i));
        }
        return copy;
    }

    /** Their state and arithmetic are float32's but for the rounding of factors and parameters. */
    @ParameterizedTest
    @MethodSource("engines")
    void halfTypesAreNearFloat32(Engine engine) {
        for (DType dtype : List.of(DType.BFLOAT16, DType.FLOAT16)) {
            List<double[]> results = new ArrayList<>();
            for (DType type : List.of(dtype, DType.FLOAT32)) {
                random.setSeed(4);
                Parameter w = Parameter.of(copy(gaussian(dtype, 20, 12), type));
                Parameter twin = Parameter.of(copy(gaussian(dtype, 20, 12), type));
                try (Dion dion = new Dion(engine, List.of(w, twin), PLAIN.withLr(0.01).withRankFraction(0.5))) {
                    for (int step = 0; step < 3; step++) {
                        w.gradient(copy(gaussian(dtype, 20, 12), type));
                        twin.gradient(copy(gaussian(dtype, 20, 12), type));
                        dion.step();
                    }
                    assertEquals(DType.FLOAT32, dion.state(w).get("momentum").dtype());
                    assertEquals(DType.FLOAT32, dion.state(w).get("Q").dtype());
                    results.add(values(dion.state(twin).get("momentum")));
                }
                results.add(values(w.value()));
            }
            assertArrayEquals(results.get(0), results.get(2), 1e-4, "the momentum does not depend on the parameters");
            assertArrayEquals(results.get(1), results.get(3), dtype == DType.BFLOAT16 ? 0.03 : 0.004);
        }
    }

    /** With products in bfloat16 the approximation is another one, and the momentum keeps what it misses. */
    @ParameterizedTest
    @MethodSource("engines")
    void productsInBfloat16(Engine engine) {
        for (QrMethod method : QrMethod.values()) {
            for (long[] shape : new long[][] {{30, 20}, {20, 30}}) {
                List<Dense> steps = new ArrayList<>();
                Dense gradient = null;
                for (DType products : List.of(DType.FLOAT32, DType.BFLOAT16)) {
                    random.setSeed(10);
                    Parameter w = Parameter.of(Tensor.zeros(arena, DType.FLOAT32, shape)).gradient(gaussian(DType.FLOAT32, shape));
                    Parameter twin = Parameter.of(Tensor.zeros(arena, DType.FLOAT32, shape)).gradient(gaussian(DType.FLOAT32, shape));
                    gradient = Dense.of(twin.gradient());
                    try (Dion dion = new Dion(engine, List.of(w, twin), PLAIN.withRankFraction(0.3).withPowerIters(2).withQrMethod(method))) {
                        dion.products(products);
                        assertEquals(products, dion.products());
                        dion.step();
                        steps.add(Dense.of(twin.value()));
                        steps.add(Dense.of(dion.state(twin).get("momentum")));
                        steps.add(Dense.of(dion.state(twin).get("Q")));
                    }
                }
                for (int i = 0; i < 3; i++) {
                    steps.get(i).assertNear(steps.get(i + 3), 0.15, "step");
                    double[] difference = Arrays.stream(steps.get(i).plus(1, -1, steps.get(i + 3)).rows).flatMapToDouble(Arrays::stream).toArray();
                    assertTrue(dot(difference, difference) > 1e-8, "rounding shows");
                }
                Dense taken = gradient.plus(20, -20, steps.get(4)); // P R^T, whose columns of R have Q's directions
                Dense q = steps.get(5);
                Dense along = shape[0] < shape[1] ? taken.transposed() : taken;
                Dense beside = along.plus(1, -1, along.times(q).times(inverse(q.transposed().times(q))).times(q.transposed()));
                assertEquals(0, Arrays.stream(beside.rows).flatMapToDouble(Arrays::stream).map(Math::abs).max().orElseThrow(), 1e-3);
            }
        }
        refused("products in float16: expected float32 or bfloat16", () -> {
            try (Dion dion = new Dion(engine, List.of(parameter(DType.FLOAT32, 1, 2, 2)), PLAIN)) {
                dion.products(DType.FLOAT16);
            }
        });
    }

    private Tensor copy(Tensor from, DType type) {
        Tensor to = Tensor.zeros(arena, type, from.shape());
        LongStream.range(0, from.elements()).forEach(i -> to.set(i, from.get(i)));
        return to;
    }

    @ParameterizedTest
    @MethodSource("engines")
    void everyRunHasTheSameBits(Engine engine) {
        assertEveryRunHasTheSameBits(4, parameters -> new Dion(engine, parameters, PLAIN));
    }

    /** The element-wise part, which is a rule. */
    @Test
    void theRuleHasTheSameBitsOnEveryEngine() {
        List<Engine> engines = TestEngines.all();
        try {
            for (DType[] types : new DType[][] {{DType.FLOAT32, DType.FLOAT32}, {DType.FLOAT64, DType.FLOAT64}, {DType.FLOAT32, DType.BFLOAT16},
                    {DType.FLOAT32, DType.FLOAT16}}) {
                List<Tensor> expected = rule(TestEngines.reference(), types[0], types[1]);
                for (Engine engine : engines) {
                    List<Tensor> found = rule(engine, types[0], types[1]);
                    for (int i = 0; i < expected.size(); i++) {
                        Bits.assertSame(expected.get(i), found.get(i), i + ", " + engine.description());
                    }
                }
            }
        } finally {
            TestEngines.close(engines);
        }
    }

    private List<Tensor> rule(Engine engine, DType type, DType ofFactors) {
        random.setSeed(12);
        List<Tensor> tensors = new ArrayList<>();
        List<TensorEntry> entries = new ArrayList<>();
        long[][] shapes = {{1, 1}, {3, 7}, {5, 2100}, {40, 33}, {4, 6}};
        for (long[] shape : shapes) {
            Tensor q = gaussian(type, shape);
            Tensor projected = entries.size() == 4 ? Tensor.zeros(arena, type, shape) : gaussian(type, shape);
            LongStream.range(0, shape[1]).forEach(i -> projected.set(i, shape[0] == 40 ? 0 : projected.get(i))); // one row of zeros
            Tensor factor = gaussian(ofFactors, shape);
            entries.add(new TensorEntry("q", q, projected, List.of(factor), entries.size(), shape[0]));
            tensors.addAll(List.of(q, factor));
        }
        Rows rows = new Rows(2).set(0, DionFactorRow.EPS, 1e-8).set(1, DionFactorRow.EPS, 0);
        try (Table table = engine.table(Rule.DION_FACTOR, entries)) {
            table.classes(new int[] {0, 1, 0, 1, 0});
            engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT);
        }
        for (int i = 0; i < shapes.length; i++) {
            Dense q = Dense.of(tensors.get(2 * i));
            for (int row = 0; row < q.height(); row++) {
                assertEquals(i == 3 && row == 0 ? 0 : 1, Math.sqrt(dot(q.rows[row], q.rows[row])), 1e-5);
            }
        }
        assertTrue(Arrays.stream(values(tensors.get(9))).allMatch(x -> x == 0), "where nothing is projected nothing moves");
        return tensors;
    }

    // ---- Degenerate input

    @ParameterizedTest
    @MethodSource("engines")
    void aMomentumOfZerosLeavesTheFactor(Engine engine) {
        for (QrMethod method : QrMethod.values()) {
            Parameter zero = parameter(DType.FLOAT32, 0, 9, 4);
            Parameter twin = parameter(DType.FLOAT32, 1, 9, 4);
            LongStream.range(0, 36).forEach(i -> twin.gradient().set(i, random.nextGaussian()));
            try (Dion dion = new Dion(engine, List.of(zero, twin), PLAIN.withWeightDecay(0.5).withQrMethod(method))) {
                dion.step();
                Dense q = Dense.of(dion.state(zero).get("Q"));
                dion.step();
                assertTrue(Arrays.stream(values(zero.value())).allMatch(x -> Math.abs(x - 0.95 * 0.95) < 1e-6), engine.name());
                assertTrue(Arrays.stream(values(dion.state(zero).get("momentum"))).allMatch(x -> x == 0));
                Dense later = Dense.of(dion.state(zero).get("Q"));
                q.assertNear(later, 1e-6, "Q");
                for (int j = 0; j < 4; j++) {
                    assertEquals(1, Math.sqrt(dot(later.transposed().rows[j], later.transposed().rows[j])), 1e-6);
                }
                assertEquals(twin.value().elements(), Arrays.stream(values(twin.value())).filter(x -> Math.abs(x - 0.95 * 0.95) > 1e-6).count());
                zero.gradient(copy(twin.gradient(), DType.FLOAT32));
                dion.step();
                assertFalse(Arrays.stream(values(zero.value())).allMatch(x -> Math.abs(x - 0.857375) < 1e-4), "and goes on");
            }
        }
    }

    /** Of a gradient that is u v^T the step is along that, whatever the rank: epsilon makes nothing of the rounding errors beside it. */
    @ParameterizedTest
    @MethodSource("engines")
    void gradientsOfRankOne(Engine engine) {
        for (QrMethod method : QrMethod.values()) {
            for (double fraction : new double[] {0.2, 1}) {
                Parameter w = parameter(DType.FLOAT64, 1, 8, 5);
                double[] u = random.doubles(8, 0.1, 1).toArray();
                double[] v = random.doubles(5, 0.1, 1).toArray();
                LongStream.range(0, 40).forEach(i -> w.gradient().set(i, u[(int) i / 5] * v[(int) i % 5]));
                try (Dion dion = new Dion(engine, List.of(w), PLAIN.withRankFraction(fraction).withQrMethod(method))) {
                    dion.step();
                }
                double norm = Math.sqrt(dot(u, u) * dot(v, v));
                for (int i = 0; i < 40; i++) {
                    assertEquals(1 - 0.1 * Math.sqrt(8 / 5.0) * u[i / 5] * v[i % 5] / norm, w.value().get(i), 1e-6, method + " " + fraction);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void degenerateMatrices(Engine engine) {
        for (QrMethod method : QrMethod.values()) {
            Parameter single = parameter(DType.FLOAT32, -2, 1, 1);
            Parameter row = parameter(DType.FLOAT32, 1, 1, 3000);
            Parameter column = parameter(DType.FLOAT32, 1, 3000, 1);
            Parameter ones = parameter(DType.FLOAT32, 1, 30, 40);
            Parameter tiny = parameter(DType.FLOAT32, 1e-30, 5, 4);
            Parameter huge = parameter(DType.FLOAT32, 1e30, 4, 5);
            List<Parameter> all = List.of(single, row, column, ones, tiny, huge, parameter(DType.FLOAT32, 1, 0, 3),
                    parameter(DType.FLOAT32, 1, 3, 0), parameter(DType.FLOAT32, 1, 2, 0, 2));
            try (Dion dion = new Dion(engine, all, PLAIN.withMu(0.9).withQrMethod(method))) {
                for (int step = 0; step < 3; step++) {
                    dion.step();
                }
                assertTrue(dion.state(all.get(6)).get("Q").elements() == 0);
            }
            assertEquals(1 + 3 * 0.1, single.value().get(0), 1e-6);
            assertTrue(Arrays.stream(values(row.value())).allMatch(x -> Math.abs(x - (1 - 0.3 / 3000)) < 1e-6), "sqrt(1 / 3000) twice");
            assertTrue(Arrays.stream(values(column.value())).allMatch(x -> Math.abs(x - 0.7) < 1e-5), "sqrt(3000 / 3000)");
            for (Parameter moved : all.subList(0, 6)) { // by lr sqrt(m / n) times the norm of Q, whose columns are not longer than 1
                double[] difference = Arrays.stream(values(moved.value())).map(x -> x - 1).toArray();
                double rows = moved.value().shape()[0];
                double columns = moved.value().shape()[1];
                double bound = 3 * 0.1 * Math.sqrt(rows / columns * Math.min(rows, columns)) * (1 + 1e-5);
                assertTrue(Math.sqrt(dot(difference, difference)) <= bound, method + ", " + moved + ", " + engine.name());
            }
            assertTrue(Arrays.stream(values(tiny.value())).allMatch(x -> Math.abs(x - 1) < 1e-6), "below epsilon nothing moves");
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatIsNotFiniteIsRefusedBeforeAnythingIsWritten(Engine engine) {
        for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
            Parameter good = Parameter.of("good", gaussian(DType.FLOAT32, 3, 5)).gradient(gaussian(DType.FLOAT32, 3, 5));
            Parameter w = Parameter.of("w", gaussian(DType.FLOAT32, 4, 3)).gradient(gaussian(DType.FLOAT32, 4, 3));
            try (Dion dion = new Dion(engine, List.of(good, w), PLAIN)) {
                dion.step();
                Map<String, double[]> before = snapshot(dion, good, w);
                double element = w.gradient().get(7);
                w.gradient().set(7, bad);
                refused(Code.INVALID, "the gradients of [w] have elements that are infinite or NaN", dion::step);
                snapshot(dion, good, w).forEach((key, values) -> assertArrayEquals(before.get(key), values, key));
                w.gradient().set(7, element);
                dion.step();
                assertFalse(Arrays.equals(before.get("w"), values(w.value())));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void aLoadedStateThatIsNotFiniteIsRefusedBeforeAnythingIsWritten(Engine engine) {
        for (String key : List.of("momentum", "Q")) {
            Parameter good = Parameter.of("good", gaussian(DType.FLOAT32, 3, 5)).gradient(gaussian(DType.FLOAT32, 3, 5));
            Parameter w = Parameter.of("w", gaussian(DType.FLOAT32, 4, 3)).gradient(gaussian(DType.FLOAT32, 4, 3));
            try (Dion dion = new Dion(engine, List.of(good, w), PLAIN)) {
                dion.step();
                Tensor state = dion.state(w).get(key);
                double element = state.get(1);
                state.set(1, key.equals("Q") ? Double.NEGATIVE_INFINITY : Double.NaN);
                dion.loadStateDict(dion.stateDict());
                Map<String, double[]> before = snapshot(dion, good, w);
                for (int again = 0; again < 2; again++) {
                    refused(Code.INVALID, " of [w] have elements that are infinite or NaN, and no orthonormal factor: load another state", dion::step);
                    snapshot(dion, good, w).forEach((name, values) -> assertArrayEquals(before.get(name), values, name));
                }
                dion.state(w).get(key).set(1, element);
                dion.loadStateDict(dion.stateDict());
                dion.step();
                assertFalse(Arrays.equals(before.get("w"), values(w.value())));
            }
        }
    }

    private static Map<String, double[]> snapshot(Dion dion, Parameter... parameters) {
        Map<String, double[]> all = new LinkedHashMap<>();
        for (Parameter parameter : parameters) {
            all.put(parameter.name(), values(parameter.value()));
            dion.state(parameter).forEach((key, state) -> all.put(parameter.name() + "." + key, values(state)));
        }
        return all;
    }

    /** Whatever of a step's memory is missing, also after a change of its method: the step is refused, and can be taken later. */
    @Test
    void aStepWithoutMemoryIsRefusedBeforeAnythingIsWritten() {
        ScarceEngine scarce = new ScarceEngine(TestEngines.reference());
        for (QrMethod method : QrMethod.values()) {
            Parameter w = Parameter.of("w", gaussian(DType.FLOAT32, 9, 5)).gradient(gaussian(DType.FLOAT32, 9, 5));
            Parameter twin = Parameter.of("w", copy(w.value(), DType.FLOAT32)).gradient(w.gradient());
            try (Dion dion = new Dion(scarce.engine(), List.of(w), PLAIN.withQrMethod(method));
                    Dion other = new Dion(TestEngines.reference(), List.of(twin), PLAIN.withQrMethod(method))) {
                for (QrMethod next : List.of(method, QrMethod.CQR, QrMethod.QR, QrMethod.CQR)) {
                    dion.paramGroups().getFirst().set("qr_method", next);
                    other.paramGroups().getFirst().set("qr_method", next);
                    Map<String, double[]> before = snapshot(dion, w);
                    int allocations = 0;
                    for (boolean failed = true; failed; allocations++) {
                        scarce.failAfter(allocations);
                        try {
                            dion.step();
                        } catch (PanoptimException exhausted) {
                            assertEquals(Code.EXHAUSTED, exhausted.code(), exhausted::toString);
                            Map<String, double[]> after = snapshot(dion, w);
                            assertEquals(before.keySet(), after.keySet());
                            after.forEach((key, values) -> assertArrayEquals(before.get(key), values, key));
                        }
                        failed = scarce.hasFailed();
                    }
                    other.step();
                    snapshot(other, twin).forEach((key, values) -> assertArrayEquals(values, snapshot(dion, w).get(key), key));
                }
            }
            assertEquals(0, scarce.open());
        }
    }

    // ---- State and options

    @ParameterizedTest
    @MethodSource("engines")
    void aLoadedStateGoesOn(Engine engine) {
        List<double[]> results = new ArrayList<>();
        Parameter first = Parameter.of(gaussian(DType.FLOAT32, 7, 4));
        Parameter second = Parameter.of(copy(first.value(), DType.FLOAT32));
        try (Dion dion = new Dion(engine, List.of(first), PLAIN.withRankFraction(0.5));
                Dion other = new Dion(engine, List.of(second), PLAIN.withSeed(77).withLr(3))) {
            first.gradient(gaussian(DType.FLOAT32, 7, 4));
            dion.step();
            LongStream.range(0, 28).forEach(i -> second.value().set(i, first.value().get(i)));
            other.loadStateDict(dion.stateDict());
            for (int step = 0; step < 3; step++) {
                first.gradient(gaussian(DType.FLOAT32, 7, 4));
                second.gradient(first.gradient());
                dion.step();
                other.step();
            }
            for (Dion each : List.of(dion, other)) {
                Parameter parameter = each.paramGroups().getFirst().params().getFirst();
                results.add(values(parameter.value()));
                results.add(values(each.state(parameter).get("momentum")));
                results.add(values(each.state(parameter).get("Q")));
            }
        }
        for (int i = 0; i < 3; i++) {
            assertArrayEquals(results.get(i), results.get(i + 3));
        }
    }

    /** In the source's layout: no count of steps for a parameter, entries of groups that mean nothing here, and Q row-major. */
    @Test
    void theSourcesStateIsLoadedAndItLoadsThis() {
        Engine engine = TestEngines.reference();
        Tensor momentum = gaussian(DType.FLOAT32, 3, 5);
        Tensor q = gaussian(DType.FLOAT32, 3, 2);
        Map<String, Object> group = new HashMap<>(Map.of("rank_fraction", 0.5, "rank_multiple_of", 1, "lr", 0.25, "mu", 0.9, "beta1", 0.8,
                "beta2", 0.99, "weight_decay", 0.0, "epsilon", 1e-6));
        group.putAll(Map.of("oversample", 1.5, "algorithm", "dion", "step", 41, "params", List.of(0)));
        Parameter w = Parameter.of(gaussian(DType.FLOAT32, 3, 5)).gradient(gaussian(DType.FLOAT32, 3, 5));
        Oracle oracle = new Oracle(PLAIN.withRankFraction(0.5).withLr(0.25).withMu(0.9).withEpsilon(1e-6), w.value());
        oracle.momentum = Dense.of(momentum);
        oracle.q = Dense.of(q);
        try (Dion dion = new Dion(engine, List.of(w), PLAIN)) {
            dion.loadStateDict(Map.of("state", Map.of(0, Map.of("momentum", momentum, "Q", q)), "param_groups", List.of(group)));
            dion.step();
            oracle.step(Dense.of(w.gradient()));
            oracle.x.assertNear(Dense.of(w.value()), 1e-5, "after the source's state");
            Map<?, ?> saved = (Map<?, ?>) ((List<?>) dion.stateDict().get("param_groups")).getFirst();
            group.forEach((key, value) -> assertEquals(key.equals("step") ? 42L : value, saved.get(key), key));
            dion.loadStateDict(dion.stateDict());
            assertEquals(saved, savedGroups(dion).getFirst());
            assertEquals(Set.of("momentum", "Q"), ((Map<?, ?>) ((Map<?, ?>) dion.stateDict().get("state")).get(0)).keySet());
        }
        Parameter fresh = Parameter.of(gaussian(DType.FLOAT32, 3, 5)).gradient(gaussian(DType.FLOAT32, 3, 5));
        try (Dion dion = new Dion(engine, List.of(fresh), PLAIN)) {
            Map<?, ?> saved = savedGroups(dion).getFirst();
            assertTrue(saved.keySet().containsAll(group.keySet()), "what the source's groups have: " + saved.keySet());
            assertEquals("dion", saved.get("algorithm"));
            assertEquals(0L, saved.get("step"));
            dion.step();
            assertEquals(1L, savedGroups(dion).getFirst().get("step"));
            assertEquals(Map.of(), dion.paramGroups().getFirst().fields(), "which are the user's");
        }
    }

    private static List<Map<?, ?>> savedGroups(Dion dion) {
        return ((List<?>) dion.stateDict().get("param_groups")).stream().<Map<?, ?>>map(group -> (Map<?, ?>) group).toList();
    }

    /** As the source counts them: from when it was added or loaded, whether anything has a gradient or not, but not if they are refused. */
    @Test
    void stepsOfAGroupAreCounted() {
        Parameter w = Parameter.of(gaussian(DType.FLOAT32, 3, 5)).gradient(gaussian(DType.FLOAT32, 3, 5));
        Parameter later = Parameter.of(gaussian(DType.FLOAT32, 3, 5));
        try (Dion dion = new Dion(TestEngines.reference(), List.of(w), PLAIN)) {
            dion.step();
            dion.addParamGroup(List.of(later), PLAIN);
            assertEquals(List.of(1L, 0L), counts(dion));
            dion.step();
            dion.zeroGrad();
            dion.step();
            assertEquals(List.of(3L, 2L), counts(dion));
            w.gradient(gaussian(DType.FLOAT32, 3, 5));
            w.gradient().set(0, Double.NaN);
            refused("NaN", dion::step);
            assertEquals(List.of(3L, 2L), counts(dion));
            Map<String, Object> saved = dion.stateDict();
            dion.zeroGrad();
            dion.step();
            dion.loadStateDict(saved);
            assertEquals(List.of(3L, 2L), counts(dion));
            dion.step();
            assertEquals(List.of(4L, 3L), counts(dion));
        }
    }

    private static List<?> counts(Dion dion) {
        return savedGroups(dion).stream().map(group -> group.get("step")).toList();
    }

    /** One for each parameter, and another for another seed: Gaussian columns of 400 elements are nearly orthogonal. */
    @Test
    void firstFactorsAreRandom() {
        Engine engine = TestEngines.reference();
        List<Dense> factors = new ArrayList<>();
        for (int seed : new int[] {0, 1}) {
            List<Parameter> both = List.of(parameter(DType.FLOAT64, 0, 500, 400), parameter(DType.FLOAT64, 0, 400, 500));
            try (Dion dion = new Dion(engine, both, PLAIN.withRankFraction(0.05).withSeed(seed))) {
                dion.step();
                both.forEach(parameter -> factors.add(Dense.of(dion.state(parameter).get("Q"))));
            }
        }
        double kurtosis = 0;
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j <= i; j++) {
                Dense products = factors.get(i).transposed().times(factors.get(j));
                for (int row = 0; row < 20; row++) {
                    for (int column = 0; column < 20; column++) {
                        assertEquals(i == j && row == column ? 1 : 0, products.at(row, column), 5 / Math.sqrt(400), i + " and " + j);
                    }
                }
            }
            kurtosis += Arrays.stream(factors.get(i).rows).flatMapToDouble(Arrays::stream).map(x -> 400 * 400 * x * x * x * x).average().orElseThrow();
        }
        assertEquals(3, kurtosis / 4, 0.1);
    }

    @Test
    void whatIsRefused() {
        Engine engine = TestEngines.reference();
        refused("Dion: Invalid rank fraction: 0.0", () -> PLAIN.withRankFraction(0));
        refused("Dion: Invalid rank fraction: 1.5", () -> PLAIN.withRankFraction(1.5));
        refused("Dion: Invalid rank multiple of: 0", () -> PLAIN.withRankMultipleOf(0));
        refused("Dion: Invalid power iterations: 0", () -> PLAIN.withPowerIters(0));
        refused("Dion: Invalid momentum factor (mu): -1.0", () -> PLAIN.withMu(-1));
        refused("Dion: Invalid epsilon value: NaN", () -> PLAIN.withEpsilon(Double.NaN));
        refused("Expected Dion parameters to be 2D matrix, but got 1D", () -> new Dion(engine, List.of(parameter(DType.FLOAT32, 1, 5)), PLAIN));
        Tensor memory = gaussian(DType.FLOAT32, 30);
        List<Parameter> overlapping = List.of(Parameter.of("a", memory.slice(0, 4, 5)).gradient(gaussian(DType.FLOAT32, 4, 5)),
                Parameter.of("b", memory.slice(15, 3, 5)).gradient(gaussian(DType.FLOAT32, 3, 5)));
        try (Dion dion = new Dion(engine, overlapping, PLAIN)) {
            refused("overlaps", dion::step);
        }
        Parameter w = parameter(DType.FLOAT32, 1, 6, 4);
        try (Dion dion = new Dion(engine, List.of(w), PLAIN)) {
            dion.step();
            double[] before = values(w.value());
            dion.paramGroups().getFirst().set("rank_fraction", 0.5);
            refused(Code.INVALID, "rank_fraction and rank_multiple_of cannot change after the first step", dion::step);
            assertArrayEquals(before, values(w.value()));
            dion.paramGroups().getFirst().set("rank_fraction", 1.0);
            dion.paramGroups().getFirst().set("qr_method", QrMethod.CQR);
            dion.paramGroups().getFirst().set("power_iters", 2);
            dion.step();
            assertNotEquals(before[0], w.value().get(0));
            assertTrue(dion.workspaceBytes() >= 4 * (6 * 4 + 2 * 4 * 4));
        }
    }

    // ---- Help

    /** Of ones, with gradients that are all the same. */
    private Parameter parameter(DType dtype, double gradient, long... shape) {
        Tensor value = Tensor.zeros(arena, dtype, shape);
        Tensor gradients = Tensor.zeros(arena, dtype, shape);
        for (long i = 0; i < value.elements(); i++) {
            value.set(i, 1);
            gradients.set(i, gradient);
        }
        return Parameter.of(value).gradient(gradients);
    }
}
