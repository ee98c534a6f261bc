package io.panoptim.optim.matrix;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SoapDirectionRow;
import io.panoptim.engine.SoapUpdateRow;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.matrix.SOAP.Options;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** SOAP's steps: the bases by their definition, shapes, batches, degenerate input and what is refused. */
@Tag("native")
class SoapTest extends StepsOfTensors {
    private static final Options OFTEN = Options.defaults().withPreconditionFrequency(2);

    static List<Engine> engines() {
        return TestEngines.multiplying();
    }

    @ParameterizedTest
    @MethodSource("engines")
    void basesAreOrthonormalAndNearlyDiagonalizeTheAverages(Engine engine) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16)) {
            Parameter w = Parameter.of(gaussian(dtype, 12, 7));
            Parameter c = Parameter.of(gaussian(dtype, 4, 3, 2, 5));
            try (SOAP soap = new SOAP(engine, List.of(w, c), OFTEN)) {
                for (int step = 0; step < 9; step++) {
                    w.gradient(gaussian(dtype, 12, 7));
                    c.gradient(gaussian(dtype, 4, 3, 2, 5));
                    soap.step();
                }
                for (Parameter parameter : List.of(w, c)) {
                    for (int mode = 0; mode < parameter.value().shape().length; mode++) {
                        Tensor q = soap.state(parameter).get("Q." + mode);
                        Tensor gg = soap.state(parameter).get("GG." + mode);
                        int d = (int) parameter.value().shape()[mode];
                        double unit = dtype == DType.FLOAT64 ? 1e-13 : 1e-5;
                        double off = 0;
                        double norm = 0;
                        for (int i = 0; i < d; i++) {
                            for (int j = 0; j < d; j++) {
                                double dot = 0;
                                double rotated = 0;
                                for (int k = 0; k < d; k++) {
                                    dot += q.get(k * d + i) * q.get(k * d + j);
                                    for (int l = 0; l < d; l++) {
                                        rotated += q.get(k * d + i) * gg.get(k * d + l) * q.get(l * d + j);
                                    }
                                }
                                assertEquals(i == j ? 1 : 0, dot, unit);
                                off += i == j ? 0 : rotated * rotated;
                                norm += rotated * rotated;
                            }
                        }
                        assertTrue(off < 0.05 * norm, "mode " + mode + ": " + off / norm + ", " + engine.description());
                    }
                }
            }
        }
    }

    /** Without preconditioners it is Adam, one step late. */
    @ParameterizedTest
    @MethodSource("engines")
    void withoutPreconditionersItIsAdam(Engine engine) {
        Parameter w = Parameter.of(Tensor.zeros(arena, DType.FLOAT64, 5)).gradient(gaussian(DType.FLOAT64, 5));
        try (SOAP soap = new SOAP(engine, List.of(w), Options.defaults().withWeightDecay(0).withLr(0.1))) {
            soap.step();
            assertTrue(Arrays.stream(values(w.value())).allMatch(x -> x == 0), "the first step moves nothing");
            soap.step();
            for (int i = 0; i < 5; i++) {
                assertEquals(-0.1 * Math.signum(w.gradient().get(i)), w.value().get(i), 1e-6);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void tensorsOfOneShapeGoTogetherAsTheyWouldApart(Engine engine) {
        assertTogetherAsApart(6, parameters -> new SOAP(engine, parameters, OFTEN));
    }

    /** The element-wise parts, which are rules. */
    @Test
    void rulesHaveTheSameBitsOnEveryEngine() {
        List<Engine> engines = TestEngines.all();
        try {
            for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
                List<Tensor> expected = rules(TestEngines.reference(), dtype);
                for (Engine engine : engines) {
                    List<Tensor> found = rules(engine, dtype);
                    for (int i = 0; i < expected.size(); i++) {
                        Bits.assertSame(expected.get(i), found.get(i), i + ", " + engine.description());
                    }
                }
            }
        } finally {
            TestEngines.close(engines);
        }
    }

    private List<Tensor> rules(Engine engine, DType dtype) {
        random.setSeed(12);
        List<Tensor> tensors = new ArrayList<>();
        List<TensorEntry> directions = new ArrayList<>();
        List<TensorEntry> updates = new ArrayList<>();
        int[] classes = new int[3];
        for (long size : new long[] {1, 70, 5000}) {
            List<Tensor> of = IntStream.range(0, 5).mapToObj(i -> gaussian(dtype, size)).toList();
            for (long i = 0; i < size; i++) {
                of.get(2).set(i, Math.abs(of.get(2).get(i)));
            }
            directions.add(new TensorEntry("a", of.get(0), of.get(1), List.of(of.get(2), of.get(3)), tensors.size()));
            updates.add(new TensorEntry("a", of.get(4), of.get(3), List.of(), tensors.size()));
            classes[directions.size() - 1] = directions.size() - 1;
            tensors.addAll(of);
        }
        Rows directionRows = new Rows(3);
        Rows updateRows = new Rows(3);
        for (int row = 0; row < 3; row++) {
            directionRows.set(row, SoapDirectionRow.EXP_AVG_DECAY, 0.95).set(row, SoapDirectionRow.EXP_AVG_WEIGHT, 0.05)
                    .set(row, SoapDirectionRow.EXP_AVG_SQ_DECAY, 0.9).set(row, SoapDirectionRow.EXP_AVG_SQ_WEIGHT, 0.1)
                    .set(row, SoapDirectionRow.EPS, 1e-3);
            updateRows.set(row, SoapUpdateRow.DECAY, -0.01).set(row, SoapUpdateRow.STEP_SIZE, -0.1)
                    .flags(row, Rows.flag(SoapUpdateRow.NORMALIZES, row != 1));
        }
        try (Table first = engine.table(Rule.SOAP_DIRECTION, directions); Table second = engine.table(Rule.SOAP_UPDATE, updates)) {
            first.classes(classes);
            second.classes(classes);
            engine.step(first, directionRows, null, Extras.NONE, Stream.DEFAULT);
            engine.step(second, updateRows, null, Extras.NONE, Stream.DEFAULT);
        }
        return tensors;
    }

    @ParameterizedTest
    @MethodSource("engines")
    void everyRunHasTheSameBits(Engine engine) {
        assertEveryRunHasTheSameBits(5, parameters -> new SOAP(engine, parameters, OFTEN));
    }

    @ParameterizedTest
    @MethodSource("engines")
    void degenerateGradients(Engine engine) {
        Parameter zero = parameter(0, 3, 5);
        Parameter one = parameter(1, 1, 1);
        Parameter row = parameter(1, 1, 300);
        Parameter column = parameter(1, 300, 1);
        Parameter rankOne = parameter(1, 5, 4);
        Parameter tiny = parameter(1e-20, 5, 4);
        Parameter scalar = parameter(1);
        List<Parameter> all = List.of(zero, one, row, column, rankOne, tiny, scalar, parameter(1, 0, 3), parameter(1, 0));
        try (SOAP soap = new SOAP(engine, all, OFTEN.withWeightDecay(0).withLr(0.01))) {
            for (int step = 0; step < 6; step++) {
                soap.step();
            }
        }
        assertTrue(Arrays.stream(values(zero.value())).allMatch(x -> x == 1));
        for (Parameter steady : List.of(one, scalar)) {
            assertEquals(1 - 5 * 0.01, steady.value().get(0), 1e-6);
        }
        for (Parameter moved : List.of(row, column, rankOne)) { // along the null space, too, where rounding errors are normalized
            double distance = Math.sqrt(Arrays.stream(values(moved.value())).map(x -> (x - 1) * (x - 1)).sum());
            assertTrue(distance < 3 * 5 * 0.01 * Math.sqrt(moved.value().elements()), engine.description() + ": " + distance);
            assertTrue(Arrays.stream(values(moved.value())).average().orElseThrow() < 1);
        }
        assertTrue(Arrays.stream(values(tiny.value())).allMatch(x -> x <= 1 && x > 0.9));
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatIsNotFiniteIsRefused(Engine engine) {
        Parameter nan = parameter(1, 3, 5);
        Parameter named = Parameter.of("w", nan.value()).gradient(nan.gradient());
        named.gradient().set(7, Double.NaN);
        try (SOAP soap = new SOAP(engine, List.of(named), OFTEN)) {
            PanoptimException refused = assertThrows(PanoptimException.class, soap::step);
            assertEquals(Code.FAULT, refused.code());
            assertTrue(refused.getMessage().contains("there are no eigenvectors for dimension 0 of [w]: a gradient was not finite"),
                    refused.getMessage());
            assertTrue(Arrays.stream(values(named.value())).allMatch(x -> x == 1));
        }
    }

    @Test
    void whatIsRefused() {
        Engine engine = TestEngines.reference();
        Tensor transposed = Tensor.of(arena.allocate(96, 8), DType.FLOAT64, new long[] {3, 4}, new long[] {1, 3});
        Parameter columns = Parameter.of("w", transposed);
        assertTrue(assertThrows(PanoptimException.class, () -> new SOAP(engine, List.of(columns), OFTEN)).getMessage()
                .contains("expected row-major order"));
        assertEquals("SOAP: Invalid precondition_frequency value: 0", assertThrows(PanoptimException.class,
                () -> OFTEN.withPreconditionFrequency(0)).getMessage());
        try (SOAP soap = new SOAP(engine, List.of(parameter(1, 3, 5)), OFTEN)) {
            soap.step();
            soap.paramGroups().getFirst().set("max_precond_dim", 4);
            assertTrue(assertThrows(PanoptimException.class, soap::step).getMessage().contains("cannot change after the first step"));
        }
    }

    // ---- Help

    /** Of ones, with gradients that are all the same. */
    private Parameter parameter(double gradient, long... shape) {
        return Parameter.of(constant(1, shape)).gradient(constant(gradient, shape));
    }
}
