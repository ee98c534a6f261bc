package io.panoptim.tools.train.moons;

import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tools.train.Linear;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;

/** A classifier with one hidden layer of tanh units. {@link StrictMath}, since {@link Math} differs among machines. */
final class TanhNetwork {
    private final Linear hidden;
    private final Linear output;

    TanhNetwork(Memory memory, Random random, int inputs, int units, int classes) {
        hidden = new Linear("hidden", memory, random, inputs, units);
        output = new Linear("output", memory, random, units, classes);
    }

    List<Parameter> parameters() {
        return Stream.of(hidden, output).flatMap(layer -> layer.parameters().stream()).toList();
    }

    /** Takes over what the optimizer has written. */
    void refresh() {
        hidden.refresh();
        output.refresh();
    }

    /** The probability of each class. */
    double[] probabilities(double[] x) {
        return softmax(output.forward(activations(x)));
    }

    /** The mean cross-entropy over the data, and its gradients. */
    double lossAndGradients(double[][] points, int[] labels) {
        refresh();
        double loss = 0;
        for (int i = 0; i < points.length; i++) {
            double[] activations = activations(points[i]);
            double[] logits = output.forward(activations);
            loss += logSumExp(logits) - logits[labels[i]];
            double[] gradient = softmax(logits);
            gradient[labels[i]] -= 1;
            for (int j = 0; j < gradient.length; j++) {
                gradient[j] /= points.length;
            }
            double[] back = output.backward(activations, gradient);
            for (int j = 0; j < back.length; j++) {
                back[j] *= 1 - activations[j] * activations[j];
            }
            hidden.backward(points[i], back);
        }
        hidden.writeGradients();
        output.writeGradients();
        return loss / points.length;
    }

    private double[] activations(double[] x) {
        double[] activations = hidden.forward(x);
        for (int i = 0; i < activations.length; i++) {
            activations[i] = StrictMath.tanh(activations[i]);
        }
        return activations;
    }

    private static double[] softmax(double[] logits) {
        double logSumExp = logSumExp(logits);
        double[] probabilities = new double[logits.length];
        for (int i = 0; i < logits.length; i++) {
            probabilities[i] = StrictMath.exp(logits[i] - logSumExp);
        }
        return probabilities;
    }

    /** The maximum is taken out, so that nothing overflows. */
    private static double logSumExp(double[] logits) {
        double max = Double.NEGATIVE_INFINITY;
        for (double logit : logits) {
            max = Math.max(max, logit);
        }
        double sum = 0;
        for (double logit : logits) {
            sum += StrictMath.exp(logit - max);
        }
        return max + StrictMath.log(sum);
    }
}
