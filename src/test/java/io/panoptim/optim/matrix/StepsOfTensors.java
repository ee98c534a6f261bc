package io.panoptim.optim.matrix;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.panoptim.RandomTensors;
import io.panoptim.optim.Optimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** What holds of the steps of all optimizers that take the tensors of one shape together. */
abstract class StepsOfTensors extends RandomTensors {
    /** Steps a matrix twice from the beginning. */
    final void assertEveryRunHasTheSameBits(int steps, Function<List<Parameter>, Optimizer> optimizerOf) {
        List<double[]> runs = new ArrayList<>();
        for (int run = 0; run < 2; run++) {
            random.setSeed(9);
            Parameter w = Parameter.of(gaussian(DType.FLOAT32, 33, 70));
            try (Optimizer optimizer = optimizerOf.apply(List.of(w))) {
                for (int step = 0; step < steps; step++) {
                    w.gradient(gaussian(DType.FLOAT32, 33, 70));
                    optimizer.step();
                }
                runs.add(values(w.value()));
            }
        }
        assertArrayEquals(runs.get(0), runs.get(1));
    }

    /** Steps two squares, of which the first one has no gradient once, and a tensor, together and each by an optimizer of its own. */
    final void assertTogetherAsApart(long side, Function<List<Parameter>, Optimizer> optimizerOf) {
        List<double[]> results = new ArrayList<>();
        for (boolean together : new boolean[] {true, false}) {
            random.setSeed(8);
            List<Parameter> parameters = List.of(Parameter.of(gaussian(DType.FLOAT64, side, side)),
                    Parameter.of(gaussian(DType.FLOAT64, side, side)), Parameter.of(gaussian(DType.FLOAT64, 2, 3, 2)));
            List<Optimizer> optimizers = together ? List.of(optimizerOf.apply(parameters))
                    : parameters.stream().map(parameter -> optimizerOf.apply(List.of(parameter))).toList();
            for (int step = 0; step < 7; step++) {
                for (Parameter parameter : parameters) {
                    Tensor gradient = gaussian(DType.FLOAT64, parameter.value().shape());
                    parameter.gradient(step == 1 && parameter == parameters.getFirst() ? null : gradient);
                }
                optimizers.forEach(Optimizer::step);
            }
            optimizers.forEach(Optimizer::close);
            results.add(parameters.stream().flatMapToDouble(parameter -> Arrays.stream(values(parameter.value()))).toArray());
        }
        assertArrayEquals(results.get(0), results.get(1), 1e-9);
    }
}
