package io.panoptim.train;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.SGD;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Clipping apart from a step has torch's results and the same bits on every engine. */
@Tag("native")
class GradientClipperTest {
    private static final int[] SIZES = {0, 1, 33, 5001};

    private final Arena arena = Arena.ofShared();
    private final List<AutoCloseable> opened = new ArrayList<>();

    record Case(String engine, DType dtype, double p) {}

    static Stream<Case> cases() {
        return Stream.of("reference", "cpu").flatMap(engine -> Stream.of(DType.values()).filter(DType::isFloatingPoint)
                .flatMap(dtype -> Stream.of(0.5, 1.0, 2.0, 3.0, Double.POSITIVE_INFINITY).map(p -> new Case(engine, dtype, p))));
    }

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable each : opened) {
            each.close();
        }
        arena.close();
    }

    private GradientClipper clipper(Engine engine, List<Parameter> parameters) {
        GradientClipper clipper = GradientClipper.of(engine, parameters);
        opened.add(clipper);
        return clipper;
    }

    private Tensor random(DType dtype, long seed, long... shape) {
        Tensor tensor = Tensor.zeros(arena, dtype, shape);
        Random random = new Random(seed);
        for (int i = 0; i < tensor.elements(); i++) {
            tensor.set(i, random.nextGaussian());
        }
        return tensor;
    }

    private List<Parameter> parameters(DType dtype) {
        return IntStream.range(0, SIZES.length).mapToObj(i -> Parameter.of("p" + i, random(dtype, i, SIZES[i]))
                .gradient(random(dtype, 100 + i, SIZES[i]))).toList();
    }

    private Tensor copy(Tensor tensor) {
        Tensor copy = Tensor.zeros(arena, tensor.dtype(), tensor.shape());
        copy.segment().copyFrom(tensor.segment());
        return copy;
    }

    private static double norm(List<Tensor> tensors, double p) {
        double sum = 0;
        for (Tensor tensor : tensors) {
            for (int i = 0; i < tensor.elements(); i++) {
                double a = Math.abs(tensor.get(i));
                sum = p == Double.POSITIVE_INFINITY ? Math.max(sum, a) : sum + Math.pow(a, p);
            }
        }
        return p == Double.POSITIVE_INFINITY ? sum : Math.pow(sum, 1 / p);
    }

    /** torch's coefficient from a norm, in the compute type, and the product. */
    private static double clipped(double g, double norm, double maxNorm, DType dtype) {
        if (dtype == DType.FLOAT64) {
            return g * Math.min(1 / (norm + 1e-6) * maxNorm, 1);
        }
        float coefficient = Math.min(1f / ((float) norm + 1e-6f) * (float) maxNorm, 1f);
        return (float) g * coefficient;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientsAreMultipliedByTorchsCoefficientAndTheNormIsReturned(Case given) {
        Engine engine = TestEngines.named(given.engine);
        for (double part : new double[] {0.25, 4}) {
            List<Parameter> parameters = parameters(given.dtype);
            List<Tensor> before = parameters.stream().map(parameter -> copy(parameter.gradient())).toList();
            double exact = norm(before, given.p);
            double norm = clipper(engine, parameters).clipGradNorm(exact * part, given.p, true).get();
            assertEquals(exact, norm, exact * (given.p == Double.POSITIVE_INFINITY ? 0 : 1e-12));
            for (int i = 0; i < SIZES.length; i++) {
                Tensor expected = copy(before.get(i));
                for (int j = 0; j < SIZES[i]; j++) {
                    expected.set(j, clipped(before.get(i).get(j), norm, exact * part, given.dtype));
                }
                Bits.assertSame(expected, parameters.get(i).gradient(), given + " " + part);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theNormIsOverGradientsOfAllTypesOfSeveralOptimizers(String name) {
        Engine engine = TestEngines.named(name);
        List<Parameter> all = Stream.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)
                .flatMap(dtype -> parameters(dtype).stream()).toList();
        List<Tensor> before = all.stream().map(parameter -> copy(parameter.gradient())).toList();
        SGD sgd = new SGD(engine, all.subList(0, 6), SGD.Options.defaults());
        AdamW adamW = new AdamW(engine, all.subList(6, all.size()), AdamW.Options.defaults());
        GradientClipper clipper = GradientClipper.of(sgd, adamW);
        opened.addAll(List.of(sgd, adamW, clipper));
        double norm = clipper.clipGradNorm(1).get();
        double exact = norm(before, 2);
        assertEquals(exact, norm, exact * 1e-13);
        assertEquals(norm, clipper.control().latest().norm(), "without waiting");
        for (int i = 0; i < all.size(); i++) {
            for (int j = 0; j < before.get(i).elements(); j++) {
                Tensor expected = Tensor.zeros(arena, before.get(i).dtype());
                expected.set(0, clipped(before.get(i).get(j), norm, 1, before.get(i).dtype()));
                assertEquals(expected.get(0), all.get(i).gradient().get(j));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void gradientsMayComeGoAndMove(String name) {
        Parameter a = Parameter.of("a", Tensor.of(arena, new float[] {1, 1}));
        Parameter b = Parameter.of("b", Tensor.of(arena, new float[] {1}));
        GradientClipper clipper = clipper(TestEngines.named(name), List.of(a, b, a));
        assertEquals(0, clipper.clipGradNorm(1).get());
        a.gradient(Tensor.of(arena, new float[] {3, 0}));
        assertEquals(3, clipper.clipGradNorm(10).get());
        b.gradient(Tensor.of(arena, new float[] {4}));
        assertEquals(5, clipper.clipGradNorm(10).get());
        a.gradient(Tensor.of(arena, new float[] {0, -12}));
        b.gradient(Tensor.of(arena, new float[] {5}));
        assertEquals(13, clipper.clipGradNorm(1.3).get());
        assertEquals(-1.2, a.gradient().get(1), 1e-6);
        assertEquals(0.5, b.gradient().get(0), 1e-6);
        a.gradient(null);
        b.gradient(Tensor.of(arena, new float[] {7}));
        assertEquals(7, clipper.getTotalNorm(1, true).get());
        clipper.clipGradsWithNorm(1, 14);
        assertEquals(7f * (1 / (14f + 1e-6f)), b.gradient().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tiedParametersCountOnce(String name) {
        Tensor value = Tensor.of(arena, new float[] {1});
        Parameter first = Parameter.of("first", value).gradient(Tensor.of(arena, new float[] {3}));
        Parameter second = Parameter.of("second", value);
        assertEquals(3, clipper(TestEngines.named(name), List.of(first, second)).clipGradNorm(1).get());
        assertEquals(1, first.gradient().get(0), 1e-6);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aNormThatIsNotFiniteIsRefusedOnlyWhenAsked(String name) {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            Parameter p = Parameter.of("p", Tensor.of(arena, new float[2])).gradient(Tensor.of(arena, new float[] {2, bad}));
            GradientClipper clipper = clipper(TestEngines.named(name), List.of(p));
            refused(Code.INVALID, "The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped. To "
                    + "disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`",
                    () -> clipper.clipGradNorm(1, 2, true));
            refused(Code.INVALID, "order inf", () -> clipper.clipGradNorm(1, Double.POSITIVE_INFINITY, true));
            assertEquals(2, p.gradient().get(0), "nothing is written");
            assertTrue(!Double.isFinite(clipper.clipGradNorm(1).get()));
            assertEquals(Float.isNaN(bad) ? Double.NaN : 0, p.gradient().get(0));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void valuesAreClampedAndNaNsStay(String name) {
        for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16}) {
            Tensor gradient = Tensor.zeros(arena, dtype, 5);
            double[] values = {-2, -0.25, 0.5, 3, Double.NaN};
            IntStream.range(0, 5).forEach(i -> gradient.set(i, values[i]));
            Parameter p = Parameter.of("p", Tensor.zeros(arena, dtype, 5)).gradient(gradient);
            clipper(TestEngines.named(name), List.of(p)).clipGradValue(0.5);
            double[] expected = {-0.5, -0.25, 0.5, 0.5, Double.NaN};
            IntStream.range(0, 5).forEach(i -> assertEquals(expected[i], gradient.get(i)));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void eachTensorIsClippedByItsOwnNorm(String name) {
        Parameter large = Parameter.of("large", Tensor.of(arena, new float[4], 2, 2))
                .gradient(Tensor.of(arena, new float[] {2, 4, 4, 8}, 2, 2));
        Parameter small = Parameter.of("small", Tensor.of(arena, new float[2])).gradient(Tensor.of(arena, new float[] {0.3f, 0.4f}));
        Parameter zero = Parameter.of("zero", Tensor.of(arena, new float[2])).gradient(Tensor.of(arena, new float[2]));
        clipper(TestEngines.named(name), List.of(large, small, zero)).clipNorm(1);
        assertEquals(0.2f, large.gradient().get(0));
        assertEquals(0.8f, large.gradient().get(3));
        assertEquals(0.3f, small.gradient().get(0));
        assertEquals(0, zero.gradient().get(0));
    }

    /** Recorded from timm 1.0.29's adaptive_clip_grad with torch 2.13. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void adaptiveClippingIsTimmsUnitByUnit(String name) {
        Parameter matrix = Parameter.of("matrix", Tensor.of(arena, new float[] {3, 4, 0, 0, 0.5f, -1}, 3, 2))
                .gradient(Tensor.of(arena, new float[] {0.3f, 0.4f, 1, -2, 1e-3f, 2e-3f}, 3, 2));
        Parameter vector = Parameter.of("vector", Tensor.of(arena, new float[] {1, 2, 2})).gradient(Tensor.of(arena, new float[] {1, 2, -2}));
        clipper(TestEngines.named(name), List.of(matrix, vector)).adaptiveClipGrad();
        float[] first = {0.03f, 0.04f, 4.472136e-06f, -8.944272e-06f, 0.001f, 0.002f};
        float[] second = {0.01f, 0.02f, -0.02f};
        IntStream.range(0, 6).forEach(i -> assertEquals(first[i], matrix.gradient().get(i), Math.ulp(first[i])));
        IntStream.range(0, 3).forEach(i -> assertEquals(second[i], vector.gradient().get(i), Math.ulp(second[i])));
    }

    /** As torch's clip_grad_norm_(parameters, math.inf): the coefficient is clamped to 1. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void anInfiniteMaximumNormMeasuresAndClipsNothing(String name) {
        Parameter p = Parameter.of("p", Tensor.of(arena, new float[2])).gradient(Tensor.of(arena, new float[] {3, -4}));
        GradientClipper clipper = clipper(TestEngines.named(name), List.of(p));
        assertEquals(5, clipper.clipGradNorm(Double.POSITIVE_INFINITY).get());
        clipper.clipGradsWithNorm(Double.POSITIVE_INFINITY, 5);
        assertEquals(3, p.gradient().get(0));
        assertEquals(-4, p.gradient().get(1));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatCannotBeClippedIsRefusedBeforeAnythingIsWritten(String name) {
        Parameter dense = Parameter.of("dense", Tensor.of(arena, new float[] {1})).gradient(Tensor.of(arena, new float[] {8}));
        Parameter sparse = Parameter.of("sparse", Tensor.of(arena, new float[2], 2, 1));
        GradientClipper clipper = clipper(TestEngines.named(name), List.of(dense, sparse));
        for (double bad : new double[] {Double.NaN, -1, Double.NEGATIVE_INFINITY}) {
            refused(Code.INVALID, "a maximum norm of " + bad, () -> clipper.clipGradNorm(bad));
            refused(Code.INVALID, "a maximum norm of " + bad, () -> clipper.clipGradsWithNorm(bad, 1));
        }
        refused(Code.INVALID, "a norm of order 0.0", () -> clipper.clipGradNorm(1, 0, false));
        refused(Code.INVALID, "a value of NaN", () -> clipper.clipGradValue(Double.NaN));
        refused(Code.INVALID, "a value of -1.0", () -> clipper.clipGradValue(-1));
        refused(Code.INVALID, "more than 0", () -> clipper.clipNorm(0));
        refused(Code.INVALID, "more than 0", () -> clipper.adaptiveClipGrad(0.01, Double.NaN));
        sparse.sparseGradient(new SparseGradient(Tensor.zeros(arena, DType.INT64, 1), Tensor.of(arena, new float[1], 1, 1)));
        refused(Code.UNSUPPORTED, "'sparse' has a sparse gradient", () -> clipper.clipGradNorm(1));
        refused(Code.UNSUPPORTED, "'sparse' has a sparse gradient", () -> clipper.clipGradValue(1));
        refused(Code.UNSUPPORTED, "'sparse' has a sparse gradient", () -> clipper.clipNorm(1));
        assertEquals(8, dense.gradient().get(0));
    }
}
