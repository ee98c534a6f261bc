package io.panoptim.tools.train.nn;

import io.panoptim.tensor.Memory;
import java.util.List;
import java.util.Random;

/** A linear layer, {@code y = W x + b}. */
public final class Linear implements Layer {
    private final int inputs;
    private final int outputs;
    private final Weights weight;
    private final Weights bias;
    private double[] x = {};

    /** Initialised as {@code torch.nn.Linear}: uniform within 1/√inputs of zero. */
    public Linear(String name, Memory memory, Random random, int inputs, int outputs) {
        this(name, memory, random, outputs, new long[] {outputs, inputs});
    }

    /** With the weights in a given shape: outputs, then what is multiplied to the inputs. */
    Linear(String name, Memory memory, Random random, int outputs, long[] shape) {
        int count = 1;
        for (int i = 1; i < shape.length; i++) {
            count *= Math.toIntExact(shape[i]);
        }
        this.inputs = count;
        this.outputs = outputs;
        double bound = 1 / Math.sqrt(inputs);
        weight = Weights.uniform(name + ".weight", memory, random, bound, shape);
        bias = Weights.uniform(name + ".bias", memory, random, bound, outputs);
    }

    @Override
    public List<Weights> weights() {
        return List.of(weight, bias);
    }

    @Override
    public double[] forward(double[] batch, int rows) {
        x = batch;
        double[] y = new double[rows * outputs];
        for (int i = 0; i < rows; i++) {
            System.arraycopy(bias.values(), 0, y, i * outputs, outputs);
        }
        Products.addProductWithTransposed(x, weight.values(), y, rows, inputs, outputs);
        return y;
    }

    @Override
    public double[] backward(double[] gradient) {
        int rows = gradient.length / outputs;
        double[] db = bias.gradients();
        for (int i = 0; i < gradient.length; i++) {
            db[i % outputs] += gradient[i];
        }
        Products.addTransposedProduct(gradient, x, weight.gradients(), outputs, rows, inputs);
        double[] dx = new double[rows * inputs];
        Products.addProduct(gradient, weight.values(), dx, rows, outputs, inputs);
        return dx;
    }
}
