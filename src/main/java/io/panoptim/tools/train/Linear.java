package io.panoptim.tools.train;

import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * A linear layer, {@code y = W x + b}, in plain Java: float32 parameters, computed with in double, in one order, so that
 * every machine gives the same bits.
 */
public final class Linear {
    private final int inputs;
    private final int outputs;
    private final Parameter weight;
    private final Parameter bias;
    private final Tensor weightGradient;
    private final Tensor biasGradient;
    private final double[] w;
    private final double[] b;
    private final double[] dw;
    private final double[] db;

    /** Initialised as {@code torch.nn.Linear}: uniform within 1/√inputs of zero. */
    public Linear(String name, Memory memory, Random random, int inputs, int outputs) {
        this.inputs = inputs;
        this.outputs = outputs;
        w = new double[outputs * inputs];
        b = new double[outputs];
        dw = new double[w.length];
        db = new double[b.length];
        double bound = 1 / Math.sqrt(inputs);
        weight = Parameter.of(name + ".weight", uniform(memory.zeros(DType.FLOAT32, outputs, inputs), random, bound));
        bias = Parameter.of(name + ".bias", uniform(memory.zeros(DType.FLOAT32, outputs), random, bound));
        weightGradient = memory.zerosLike(weight.value());
        biasGradient = memory.zerosLike(bias.value());
    }

    /** Weight and bias. */
    public List<Parameter> parameters() {
        return List.of(weight, bias);
    }

    /** Takes over what the optimizer has written, and forgets the gradients. */
    public void refresh() {
        for (int i = 0; i < w.length; i++) {
            w[i] = weight.value().get(i);
            dw[i] = 0;
        }
        for (int i = 0; i < b.length; i++) {
            b[i] = bias.value().get(i);
            db[i] = 0;
        }
    }

    /** The layer's output. */
    public double[] forward(double[] x) {
        double[] y = b.clone();
        for (int i = 0; i < outputs; i++) {
            for (int j = 0; j < inputs; j++) {
                y[i] += w[i * inputs + j] * x[j];
            }
        }
        return y;
    }

    /** Adds to the gradients, given the input and the gradient of the output; returns the gradient of the input. */
    public double[] backward(double[] x, double[] dy) {
        double[] dx = new double[inputs];
        for (int i = 0; i < outputs; i++) {
            db[i] += dy[i];
            for (int j = 0; j < inputs; j++) {
                dw[i * inputs + j] += dy[i] * x[j];
                dx[j] += w[i * inputs + j] * dy[i];
            }
        }
        return dx;
    }

    /** Hands the gradients to the optimizer, rounded once. */
    public void writeGradients() {
        IntStream.range(0, dw.length).forEach(i -> weightGradient.set(i, dw[i]));
        IntStream.range(0, db.length).forEach(i -> biasGradient.set(i, db[i]));
        weight.gradient(weightGradient);
        bias.gradient(biasGradient);
    }

    private static Tensor uniform(Tensor tensor, Random random, double bound) {
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, bound * (2 * random.nextDouble() - 1));
        }
        return tensor;
    }
}
