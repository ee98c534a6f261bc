package io.panoptim.tools;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.panoptim.Bits;
import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.golden.GoldenInputs.Kind;
import io.panoptim.golden.GoldenInputs.Stream;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SophiaG;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A loaded state goes on as the optimizer would have that saved it, bit by bit, for every optimizer there is. */
@Tag("native")
class StateDictTest {
    private static final long[][] SHAPES = {{17}, {6, 8}, {}, {3, 2, 4}, {0}};
    /** A parameter that has its first gradient late. */
    private static final int LATE = 3;
    private static final Set<String> MATRIX_OPTIMIZERS = Set.of("Dion", "Muon", "MuonWithAuxAdam", "NorMuon");
    private static final int SAVED_AT = 8;
    private static final int STEPS = 20;

    /**
     * An optimizer with options by torch's names.
     *
     * @param sparse whether all gradients are sparse
     * @param lookahead whether slow weights follow it
     */
    private record Configuration(String name, Map<String, ?> options, boolean sparse, boolean lookahead) {
        @Override
        public String toString() {
            return name + " " + options + (sparse ? " sparse" : "") + (lookahead ? " in Lookahead" : "");
        }

        /** How many dimensions a parameter must have. */
        int dimensions() {
            return MATRIX_OPTIMIZERS.contains(name) ? 2 : sparse ? 1 : 0;
        }

        Optimizer make(Engine engine, List<Parameter> parameters) {
            Optimizer optimizer = OptimizerKind.named(name, message -> PanoptimException.invalid("test", message))
                    .create(engine, parameters, options);
            return lookahead ? new Lookahead(optimizer, Lookahead.Options.defaults().withAlpha(0.25)) : optimizer;
        }
    }

    private static final class Run {
        final Configuration configuration;
        final List<Parameter> parameters = new ArrayList<>();
        final Optimizer optimizer;
        final Arena arena;

        Run(Configuration configuration, Engine engine, DType dtype, Arena arena) {
            this.configuration = configuration;
            this.arena = arena;
            for (int i = 0; i < SHAPES.length; i++) {
                if (SHAPES[i].length >= configuration.dimensions()) {
                    Tensor value = Tensor.zeros(arena, dtype, SHAPES[i]);
                    GoldenInputs.fill(value.segment(), Format.of(dtype.toString()), Kind.NORMAL, 7, Stream.PARAM, i, 0);
                    parameters.add(Parameter.of("p" + i, value));
                }
            }
            optimizer = configuration.make(engine, parameters);
        }

        void step(int step) {
            for (int i = 0; i < parameters.size(); i++) {
                Parameter parameter = parameters.get(i);
                if (parameter.name().equals("p" + LATE) && step < 3 || i == 0 && step % 4 == 2) {
                    parameter.gradient(null);
                } else if (configuration.sparse) {
                    parameter.sparseGradient(rows(parameter.value(), i, step));
                } else {
                    Tensor gradient = Tensor.zeros(arena, parameter.value().dtype(), parameter.value().shape());
                    GoldenInputs.fill(gradient.segment(), Format.of(gradient.dtype().toString()), Kind.NORMAL, 7, Stream.GRAD, i, step);
                    parameter.gradient(gradient);
                }
            }
            if (optimizer instanceof SophiaG sophia && step % 3 == 1) {
                sophia.updateHessian();
            }
            if (optimizer.needsClosure()) {
                optimizer.step(this::loss);
            } else {
                optimizer.step();
            }
        }

        /** The sum of all (x - 1)^2 (i + 1), whose gradients it sets. */
        private double loss() {
            double loss = 0;
            for (Parameter parameter : parameters) {
                Tensor value = parameter.value();
                Tensor gradient = Tensor.zeros(arena, value.dtype(), value.shape());
                for (long i = 0; i < value.elements(); i++) {
                    double distance = value.get(i) - 1;
                    loss += distance * distance * distance * distance * (i + 1);
                    gradient.set(i, 4 * distance * distance * distance * (i + 1));
                }
                parameter.gradient(gradient);
            }
            return loss;
        }

        private SparseGradient rows(Tensor value, int tensor, int step) {
            long rows = value.shape()[0];
            Tensor indices = Tensor.zeros(arena, DType.INT64, rows == 0 ? 0 : 2);
            for (int i = 0; i < indices.elements(); i++) {
                indices.set(i, (step * 5L + i * 2L) % Math.max(1, rows / 2) + (step > 12 ? 1 : 0));
            }
            long[] shape = value.shape();
            shape[0] = indices.elements();
            Tensor values = Tensor.zeros(arena, value.dtype(), shape);
            GoldenInputs.fill(values.segment(), Format.of(value.dtype().toString()), Kind.NORMAL, 7, Stream.GRAD, tensor, step);
            return new SparseGradient(indices, values);
        }
    }

    @ParameterizedTest(name = "{0}, {1}, {2}")
    @MethodSource("cases")
    void aLoadedStateGoesOnBitByBit(Configuration configuration, String engineName, DType dtype) {
        Engine engine = TestEngines.named(engineName);
        try (Arena arena = Arena.ofShared()) {
            Run uninterrupted = new Run(configuration, engine, dtype, arena);
            Run resumed = new Run(configuration, engine, dtype, arena);
            try (Optimizer saved = uninterrupted.optimizer; Optimizer loaded = resumed.optimizer) {
                saved.train();
                for (int step = 0; step < SAVED_AT; step++) {
                    uninterrupted.step(step);
                }
                double lr = saved.paramGroups().getFirst().lr();
                if (!Double.isNaN(lr)) { // none, where it follows from the step
                    saved.paramGroups().getFirst().lr(lr * 0.75);
                }
                saved.paramGroups().getFirst().field("initial_lr", 0.5);
                loaded.train();
                resumed.step(5); // what it had before is gone
                Map<String, Object> dict = saved.stateDict();
                loaded.loadStateDict(dict);
                for (int i = 0; i < uninterrupted.parameters.size(); i++) {
                    resumed.parameters.get(i).value().segment().copyFrom(uninterrupted.parameters.get(i).value().segment());
                }
                assertEquals(saved.toString(), loaded.toString());
                assertEquals(dict.keySet(), loaded.stateDict().keySet());
                assertEquals(dict.get("param_groups"), loaded.stateDict().get("param_groups"));
                compare(uninterrupted, resumed, "loaded");
                for (int step = SAVED_AT; step < STEPS; step++) {
                    uninterrupted.step(step);
                    resumed.step(step);
                    compare(uninterrupted, resumed, "step " + step);
                }
                saved.eval();
                loaded.eval();
                compare(uninterrupted, resumed, "evaluation");
            }
        }
    }

    private static void compare(Run expected, Run actual, String when) {
        for (int i = 0; i < expected.parameters.size(); i++) {
            Parameter parameter = expected.parameters.get(i);
            Bits.assertSame(parameter.value(), actual.parameters.get(i).value(), parameter.name() + ", " + when);
            Map<String, Tensor> state = expected.optimizer.state(parameter);
            Map<String, Tensor> other = actual.optimizer.state(actual.parameters.get(i));
            assertEquals(state.keySet(), other.keySet(), parameter.name() + ", " + when);
            state.forEach((key, tensor) -> Bits.assertSame(tensor, other.get(key), key + " of " + parameter.name() + ", " + when));
        }
    }

    static List<Arguments> cases() {
        List<Configuration> all = new ArrayList<>();
        OptimizerKind.names().forEach(name -> all.add(new Configuration(name, Map.of(), name.equals("SparseAdam"), false)));
        all.add(new Configuration("SGD", Map.of("momentum", 0.9, "dampening", 0.3), false, false));
        all.add(new Configuration("SGD", Map.of("momentum", 0.9), true, false));
        all.add(new Configuration("AdafactorHF", Map.of("beta1", 0.9, "lr", 0.01, "relative_step", false), false, false));
        all.add(new Configuration("Adagrad", Map.of(), true, false));
        all.add(new Configuration("Adam", Map.of("amsgrad", true), false, false));
        all.add(new Configuration("Adam", Map.of(), false, true));
        all.add(new Configuration("RMSprop", Map.of("momentum", 0.9, "centered", true), false, false));
        all.add(new Configuration("RMSprop", Map.of("centered", true), false, false));
        all.add(new Configuration("MADGRAD", Map.of("momentum", 0.0), false, false));
        all.add(new Configuration("NovoGrad", Map.of("amsgrad", true), false, false));
        all.add(new Configuration("LBFGS", Map.of("line_search_fn", "strong_wolfe", "history_size", 4), false, false));
        List<Arguments> cases = new ArrayList<>();
        for (Configuration configuration : all) {
            for (String engine : List.of("reference", "cpu")) {
                cases.add(Arguments.of(configuration, engine, DType.FLOAT32));
            }
            cases.add(Arguments.of(configuration, "cpu", DType.BFLOAT16));
        }
        return cases;
    }
}
