package io.panoptim.tools.train.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.panoptim.engine.HostMemory;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tools.train.Gradients;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class NetworkTest {
    private static final int ROWS = 3;

    private final Memory memory = new HostMemory();
    private final Random random = new Random(3);

    @AfterEach
    void close() {
        memory.close();
    }

    @Test
    void aLinearLayerIsThePlainFormula() {
        Linear linear = new Linear("linear", memory, random, 2, 3);
        set(linear, new double[] {1, 2, 3, 4, 5, 6}, new double[] {0.5, 0, -0.5});
        assertArrayEquals(new double[] {1 * 10 + 2 * 20 + 0.5, 3 * 10 + 4 * 20, 5 * 10 + 6 * 20 - 0.5, 2.5, 4, 5.5},
                linear.forward(new double[] {10, 20, 0, 1}, 2));
        assertArrayEquals(new double[] {1, 2, 5 + 3, 6 + 4}, linear.backward(new double[] {1, 0, 0, 0, 1, 1}));
        assertArrayEquals(new double[] {10, 20, 0, 1, 0, 1}, linear.weights().get(0).gradients());
        assertArrayEquals(new double[] {1, 1, 1}, linear.weights().get(1).gradients());
    }

    @Test
    void aConvolutionSeesThePixelsAroundEachAndZerosBeyondTheEdge() {
        Convolution convolution = new Convolution("convolution", memory, random, 2, 3, 1, 1);
        set(convolution, new double[] {1, 2, 3, 4, 5, 6, 7, 8, 9}, new double[] {0.5});
        double[] image = {1, 10, 100, 1000, 10000, 100000};
        assertArrayEquals(new double[] {
            5 * 1 + 6 * 10 + 8 * 1000 + 9 * 10000 + 0.5,
            4 * 1 + 5 * 10 + 6 * 100 + 7 * 1000 + 8 * 10000 + 9 * 100000 + 0.5,
            4 * 10 + 5 * 100 + 7 * 10000 + 8 * 100000 + 0.5,
            2 * 1 + 3 * 10 + 5 * 1000 + 6 * 10000 + 0.5,
            1 * 1 + 2 * 10 + 3 * 100 + 4 * 1000 + 5 * 10000 + 6 * 100000 + 0.5,
            1 * 10 + 2 * 100 + 4 * 10000 + 5 * 100000 + 0.5}, convolution.forward(image, 1));
    }

    @Test
    void poolingTakesTheMaximumOfEachChannelAndGivesTheGradientBackToIt() {
        MaxPool pool = new MaxPool(2, 4, 2);
        double[] image = {1, -1, 2, -2, 5, -5, 6, -6,
            3, -3, 4, -4, 7, -7, 7, -4};
        assertArrayEquals(new double[] {4, -1, 7, -4}, pool.forward(image, 1));
        assertArrayEquals(new double[] {0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 4}, pool.backward(new double[] {1, 2, 3, 4}));
    }

    @Test
    void gradientsOfAConvolutionalNetworkAreThoseOfTheLoss() {
        int[] labels = {2, 0, 1};
        check(new Network(
                new Convolution("first", memory, random, 4, 8, 2, 3), Activation.relu(), new MaxPool(4, 8, 3),
                new Convolution("second", memory, random, 2, 4, 3, 4), Activation.tanh(), new MaxPool(2, 4, 4),
                new Linear("classifier", memory, random, 8, 3)), 4 * 8 * 2, outputs -> Loss.crossEntropy(outputs, labels));
    }

    @Test
    void gradientsOfASquaredErrorAreThoseOfTheLoss() {
        double[] targets = {1, -2, 0, 0.5, 4, 1};
        check(new Network(new Linear("linear", memory, random, 4, 2)), 4, outputs -> Loss.halfSquaredError(outputs, targets));
    }

    @Test
    void gradientsOfALogisticLossAreThoseOfTheLoss() {
        for (boolean target : new boolean[] {false, true}) {
            check(new Network(new Linear("hidden", memory, random, 2, 5), Activation.tanh(), new Linear("output", memory, random, 5, 1)),
                    2, outputs -> Loss.logistic(outputs, target));
        }
    }

    @Test
    void lossesOfLargeLogitsAreFinite() {
        assertEquals(2000, Loss.crossEntropy(new double[] {1000, -1000}, new int[] {1}).value());
        assertEquals(1000, Loss.logistic(new double[] {-1000}, true).value());
        assertEquals(0, Loss.logistic(new double[] {1000}, true).value());
        assertEquals(Math.log(2), Loss.logistic(new double[] {0}, false).value(), 1e-15);
        assertArrayEquals(new double[] {-1}, Loss.logistic(new double[] {-1000}, true).gradient());
    }

    @Test
    void frozenParametersHaveNoGradient() {
        Network network = new Network(new Linear("linear", memory, random, 2, 1));
        network.write();
        network.freeze();
        network.parameters().forEach(parameter -> assertNull(parameter.gradient()));
        assertEquals(List.of("linear.weight", "linear.bias"), network.parameters().stream().map(Parameter::name).toList());
    }

    private static void set(Layer layer, double[]... values) {
        for (int i = 0; i < values.length; i++) {
            layer.weights().get(i).set(values[i]);
            layer.weights().get(i).read();
        }
    }

    /** The weights' gradients, and the inputs'. */
    private void check(Network network, int inputs, Function<double[], Loss> lossOf) {
        double[] batch = random.doubles(ROWS * (long) inputs, -1, 1).toArray();
        double[][] back = new double[1][];
        for (Parameter parameter : network.parameters()) {
            Gradients.check(parameter, () -> {
                network.read();
                Loss loss = lossOf.apply(network.forward(batch, ROWS));
                back[0] = network.backward(loss.gradient());
                network.write();
                return loss.value();
            });
        }
        for (int i = 0; i < batch.length; i++) {
            double before = batch[i];
            batch[i] = before + 1e-6;
            double above = lossOf.apply(network.forward(batch, ROWS)).value();
            batch[i] = before - 1e-6;
            double below = lossOf.apply(network.forward(batch, ROWS)).value();
            batch[i] = before;
            assertEquals((above - below) / 2e-6, back[0][i], 1e-7, "input " + i);
        }
    }
}
