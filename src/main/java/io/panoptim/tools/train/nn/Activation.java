package io.panoptim.tools.train.nn;

import java.util.function.DoubleUnaryOperator;

/** A function of each number, whose slope can be told from its value. */
public final class Activation implements Layer {
    private final DoubleUnaryOperator function;
    private final DoubleUnaryOperator slope;
    private double[] y = {};

    private Activation(DoubleUnaryOperator function, DoubleUnaryOperator slope) {
        this.function = function;
        this.slope = slope;
    }

    /** The hyperbolic tangent. */
    public static Activation tanh() {
        return new Activation(StrictMath::tanh, y -> 1 - y * y);
    }

    /** The positive part. */
    public static Activation relu() {
        return new Activation(x -> Math.max(x, 0), y -> y > 0 ? 1 : 0);
    }

    @Override
    public double[] forward(double[] inputs, int rows) {
        double[] outputs = new double[inputs.length];
        for (int i = 0; i < outputs.length; i++) {
            outputs[i] = function.applyAsDouble(inputs[i]);
        }
        y = outputs;
        return outputs;
    }

    @Override
    public double[] backward(double[] gradient) {
        double[] inputs = new double[gradient.length];
        for (int i = 0; i < inputs.length; i++) {
            inputs[i] = gradient[i] * slope.applyAsDouble(y[i]);
        }
        return inputs;
    }
}
