package io.panoptim.linalg;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.Stream;
import io.panoptim.linalg.NewtonSchulz.Quintic;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Newton–Schulz iterations against the polynomials of the singular values. */
@Tag("native")
class NewtonSchulzTest {
    private static final List<Quintic> KELLER = NewtonSchulz.repeated(Quintic.KELLER, 5);

    private final Arena arena = Arena.ofShared();
    private final Random random = new Random(3);

    @AfterEach
    void close() {
        arena.close();
    }

    @ParameterizedTest
    @CsvSource({"1,1", "1,7", "7,1", "5,5", "40,40", "40,45", "45,40", "20,60", "60,20", "130,300", "300,130", "3,2000", "1500,2"})
    void singularValuesGoWhereThePolynomialsTakeThem(int rows, int columns) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            for (List<Quintic> quintics : List.of(KELLER, NewtonSchulz.polarExpress(5), NewtonSchulz.polarExpress(8), KELLER.subList(0, 2),
                    KELLER.subList(0, 1))) {
                for (Engine engine : rows * columns > 500 ? TestEngines.ofTiers().subList(1, 2) : TestEngines.ofTiers()) {
                    double[] matrix = normalized(gaussian(rows, columns));
                    check(engine, dtype, rows, columns, matrix, quintics);
                }
            }
        }
    }

    /** Of bfloat16 a step keeps 8 bits, and what rounding adds to small singular values grows; torch is as far off. */
    @ParameterizedTest
    @CsvSource({"1,1", "1,7", "7,1", "5,5", "40,40", "40,45", "60,20", "100,140", "3,1000", "1000,3"})
    void halfTypesComeNear(int rows, int columns) {
        double[] matrix = normalized(gaussian(rows, columns));
        for (List<Quintic> quintics : List.of(KELLER, NewtonSchulz.polarExpress(5), KELLER.subList(0, 1))) {
            double[] expected = matrix;
            for (Quintic quintic : quintics) {
                expected = step(expected, rows, columns, quintic);
            }
            double[] goals = Arrays.stream(SingularValues.of(matrix, rows, columns)).map(value -> polynomial(quintics, value)).sorted()
                    .toArray();
            for (Engine engine : TestEngines.ofTiers()) {
                for (DType dtype : List.of(DType.BFLOAT16, DType.FLOAT16)) {
                    double[] found = run(engine, dtype, rows, columns, 1, matrix, quintics);
                    double bound = (dtype == DType.BFLOAT16 ? 4e-2 : 5e-3) * (Math.min(rows, columns) <= 3 ? 3 : 1); // few do not average
                    double[] expectedNow = expected;
                    double distance = Math.sqrt(IntStream.range(0, found.length)
                            .mapToDouble(i -> (found[i] - expectedNow[i]) * (found[i] - expectedNow[i])).sum());
                    double norm = Math.sqrt(Arrays.stream(expected).map(x -> x * x).sum());
                    String what = dtype + ", " + quintics.size() + " steps, " + engine.description();
                    assertTrue(distance <= bound * norm, what + ": off by " + distance / norm);
                    double[] after = Arrays.stream(SingularValues.of(found, rows, columns)).sorted().toArray();
                    for (int i = 0; i < goals.length; i++) {
                        assertEquals(goals[i], after[i], 2 * bound * goals[goals.length - 1], what + ", singular value " + i);
                    }
                    assertEquals(Arrays.toString(found), Arrays.toString(run(engine, dtype, rows, columns, 1, matrix, quintics)));
                }
            }
        }
    }

    /** Singular values down to a millionth of the largest: in the Gram matrix these are below float32's resolution. */
    @ParameterizedTest
    @CsvSource({"24,24", "24,80", "80,24"})
    void illConditionedMatrices(int rows, int columns) {
        double[] matrix = gaussian(rows, columns);
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                matrix[i * columns + j] *= Math.pow(10, -6.0 * (rows <= columns ? i : j) / Math.min(rows, columns));
            }
        }
        for (Engine engine : TestEngines.ofTiers()) {
            for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
                check(engine, dtype, rows, columns, normalized(matrix), KELLER);
                check(engine, dtype, rows, columns, normalized(matrix), NewtonSchulz.polarExpress(6));
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"64,64", "64,256", "256,64"})
    void resultsAreNearlyOrthogonal(int rows, int columns) {
        for (Engine engine : TestEngines.ofTiers()) {
            double[] matrix = normalized(gaussian(rows, columns));
            double[] before = SingularValues.of(matrix, rows, columns);
            double[] keller = SingularValues.of(run(engine, DType.FLOAT32, rows, columns, 1, matrix, KELLER), rows, columns);
            assertTrue(keller[0] < 1.21, Arrays.toString(keller));
            long large = Arrays.stream(before).filter(value -> value > 0.02).count();
            assertTrue(large >= 50, "most singular values are not small");
            assertTrue(Arrays.stream(keller).filter(value -> value > 0.68).count() >= large, Arrays.toString(keller));
            double[] polar = SingularValues.of(run(engine, DType.FLOAT32, rows, columns, 1, matrix, NewtonSchulz.polarExpress(5)), rows, columns);
            assertTrue(polar[0] < 1.13, Arrays.toString(polar));
            assertTrue(Arrays.stream(polar).filter(value -> value > 0.84).count() >= large, Arrays.toString(polar));
        }
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void zeroAndRankOneAndNansInABatch(DType dtype) {
        int rows = 6;
        int columns = 20;
        double[] batch = new double[4 * rows * columns];
        for (int i = 0; i < rows * columns; i++) {
            batch[rows * columns + i] = 1 / Math.sqrt(rows * columns); // rank one
            batch[3 * rows * columns + i] = batch[rows * columns + i];
        }
        batch[2 * rows * columns + 5] = Double.NaN;
        for (Engine engine : TestEngines.ofTiers()) {
            double[] found = run(engine, dtype, rows, columns, 4, batch, KELLER);
            assertTrue(Arrays.stream(found, 0, rows * columns).allMatch(value -> value == 0));
            assertTrue(Arrays.stream(found, 2 * rows * columns, 3 * rows * columns).allMatch(Double::isNaN));
            double one = polynomial(KELLER, 1) / Math.sqrt(rows * columns);
            for (int i = 0; i < rows * columns; i++) {
                assertEquals(one, found[rows * columns + i], (dtype.bytes() == 2 ? 0x1p-5 : 0x1p-9) * one);
                assertEquals(found[rows * columns + i], found[3 * rows * columns + i]);
            }
        }
    }

    @Test
    void withoutStepsNothingChanges() {
        double[] matrix = {1, 2, 3, 4, 5, 6};
        assertEquals(Arrays.toString(matrix), Arrays.toString(run(TestEngines.reference(), DType.FLOAT32, 2, 3, 1, matrix, List.of())));
    }

    @Test
    void coefficientsChangeFromRunToRun() {
        double[] matrix = normalized(gaussian(6, 9));
        for (Engine engine : TestEngines.ofTiers()) {
            for (DType dtype : List.of(DType.FLOAT32, DType.BFLOAT16)) {
                Tensor x = Tensor.zeros(arena, dtype, 5, 6, 9);
                Tensor y = Tensor.zeros(arena, dtype, 5, 6, 9);
                try (NewtonSchulz newtonSchulz = new NewtonSchulz(engine, Matrices.of(x), Matrices.of(y),
                        Tensor.zeros(arena, dtype, NewtonSchulz.scratchElements(engine, dtype, 5, 6, 9)))) {
                    for (List<Quintic> quintics : List.of(KELLER, NewtonSchulz.polarExpress(5), KELLER.subList(0, 2), KELLER,
                            NewtonSchulz.repeated(new Quintic(3.4, -4.7, 2), 5))) {
                        for (int i = 0; i < 5 * matrix.length; i++) {
                            x.set(i, matrix[i % matrix.length]);
                        }
                        Tensor result = newtonSchulz.run(quintics, Stream.DEFAULT).tensors().getFirst();
                        double[] alone = run(engine, dtype, 6, 9, 5, matrix, quintics);
                        for (int i = 0; i < matrix.length; i++) {
                            assertEquals(alone[i], result.get(i), engine.description() + ", " + dtype);
                        }
                    }
                }
            }
        }
    }

    @Test
    void whatCannotBeDoneIsRefused() {
        Tensor half = Tensor.zeros(arena, DType.BFLOAT16, 2, 2);
        Tensor one = Tensor.zeros(arena, DType.FLOAT32, 2, 2);
        Tensor other = Tensor.zeros(arena, DType.FLOAT32, 2, 3);
        Tensor scratch = Tensor.zeros(arena, DType.FLOAT32, 100);
        Engine engine = TestEngines.reference();
        assertTrue(assertThrows(PanoptimException.class, () -> new NewtonSchulz(engine, Matrices.of(one), Matrices.of(half), scratch))
                .getMessage().contains("the memory for results bfloat16[2, 2]"));
        assertTrue(assertThrows(PanoptimException.class, () -> new NewtonSchulz(engine, Matrices.of(one), Matrices.of(other), scratch))
                .getMessage().contains("the memory for results float32[2, 3]"));
        assertThrows(PanoptimException.class, () -> new NewtonSchulz(engine, Matrices.of(one), Matrices.of(one), scratch).prepare(KELLER));
        assertThrows(PanoptimException.class, () -> new NewtonSchulz(engine, Matrices.of(one), Matrices.of(one), scratch.slice(0, 7)));
    }

    // ---- Help

    private double[] gaussian(int rows, int columns) {
        return random.doubles(rows * columns).map(any -> random.nextGaussian()).toArray();
    }

    private static double[] normalized(double[] matrix) {
        double norm = Math.sqrt(Arrays.stream(matrix).map(x -> x * x).sum());
        return Arrays.stream(matrix).map(x -> x / norm).toArray();
    }

    private double[] run(Engine engine, DType dtype, int rows, int columns, int count, double[] matrix, List<Quintic> quintics) {
        Tensor x = Tensor.zeros(arena, dtype, count, rows, columns);
        Tensor y = Tensor.zeros(arena, dtype, count, rows, columns);
        for (int i = 0; i < matrix.length; i++) {
            x.set(i, matrix[i]);
        }
        try (NewtonSchulz newtonSchulz = new NewtonSchulz(engine, Matrices.of(x), Matrices.of(y),
                Tensor.zeros(arena, dtype, NewtonSchulz.scratchElements(engine, dtype, count, rows, columns)))) {
            Tensor result = newtonSchulz.run(quintics, Stream.DEFAULT).tensors().getFirst();
            double[] values = new double[matrix.length];
            Arrays.setAll(values, result::get);
            return values;
        }
    }

    /** Elements against the polynomials of the whole matrix in float64, singular values against those of the singular values. */
    private void check(Engine engine, DType dtype, int rows, int columns, double[] matrix, List<Quintic> quintics) {
        double[] found = run(engine, dtype, rows, columns, 1, matrix, quintics);
        double[] expected = matrix;
        for (Quintic quintic : quintics) {
            expected = step(expected, rows, columns, quintic);
        }
        double bound = dtype == DType.FLOAT64 ? 1e-10 : 0x1p-9;
        double distance = 0;
        for (int i = 0; i < found.length; i++) {
            distance = Math.max(distance, Math.abs(found[i] - expected[i]));
        }
        double largest = Arrays.stream(expected).map(Math::abs).max().orElse(0);
        String what = rows + " x " + columns + ", " + dtype + ", " + engine.description() + ", " + quintics.size() + " steps";
        assertTrue(distance <= bound * largest, what + ": off by " + distance / largest);
        if (rows * columns <= 4000) {
            double[] before = SingularValues.of(matrix, rows, columns);
            double[] goals = Arrays.stream(before).map(value -> polynomial(quintics, value)).sorted().toArray();
            double[] after = Arrays.stream(SingularValues.of(found, rows, columns)).sorted().toArray();
            for (int i = 0; i < goals.length; i++) {
                assertEquals(goals[i], after[i], bound * goals[goals.length - 1], what + ", singular value " + i);
            }
        }
    }

    private static double polynomial(List<Quintic> quintics, double value) {
        double x = value;
        for (Quintic q : quintics) {
            x = q.a() * x + q.b() * x * x * x + q.c() * x * x * x * x * x;
        }
        return Math.abs(x);
    }

    private static double[] step(double[] x, int rows, int columns, Quintic quintic) {
        if (rows > columns) {
            return transposed(step(transposed(x, rows, columns), columns, rows, quintic), columns, rows);
        }
        double[] gram = multiply(x, transposed(x, rows, columns), rows, columns, rows);
        double[] square = multiply(gram, gram, rows, rows, rows);
        double[] polynomial = new double[rows * rows];
        for (int i = 0; i < polynomial.length; i++) {
            polynomial[i] = quintic.b() * gram[i] + quintic.c() * square[i] + (i % (rows + 1) == 0 ? quintic.a() : 0);
        }
        return multiply(polynomial, x, rows, rows, columns);
    }

    private static double[] transposed(double[] x, int rows, int columns) {
        double[] transposed = new double[x.length];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                transposed[j * rows + i] = x[i * columns + j];
            }
        }
        return transposed;
    }

    private static double[] multiply(double[] a, double[] b, int rows, int inner, int columns) {
        double[] product = new double[rows * columns];
        for (int i = 0; i < rows; i++) {
            for (int k = 0; k < inner; k++) {
                for (int j = 0; j < columns; j++) {
                    product[i * columns + j] += a[i * inner + k] * b[k * columns + j];
                }
            }
        }
        return product;
    }
}
