package io.panoptim.tools.train.nn;

import io.panoptim.engine.Engines;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Random;

/** A parameter, and its values and gradients as the arithmetic sees them: in double. */
public final class Weights {
    private final Parameter parameter;
    private final Tensor gradient;
    /** What is read and written of the two, which may lie on another device. */
    private final Tensor valueHere;
    private final Tensor gradientHere;
    private final double[] values;
    private final double[] gradients;

    private Weights(String name, Memory memory, long... shape) {
        parameter = Parameter.of(name, memory.zeros(DType.FLOAT32, shape));
        gradient = memory.zerosLike(parameter.value());
        valueHere = here(parameter.value());
        gradientHere = here(gradient);
        values = new double[Math.toIntExact(gradient.elements())];
        gradients = new double[values.length];
    }

    /** Random values, uniform within a bound of zero. */
    public static Weights uniform(String name, Memory memory, Random random, double bound, long... shape) {
        Weights weights = new Weights(name, memory, shape);
        for (int i = 0; i < weights.values.length; i++) {
            weights.valueHere.set(i, bound * (2 * random.nextDouble() - 1));
        }
        copy(weights.valueHere, weights.parameter.value());
        return weights;
    }

    private static Tensor here(Tensor tensor) {
        return tensor.device().kind() == Device.Kind.CPU ? tensor : Tensor.zeros(Arena.ofAuto(), tensor.dtype(), tensor.shape());
    }

    private static void copy(Tensor from, Tensor to) {
        if (from != to) {
            Device other = from.device().kind() == Device.Kind.CPU ? to.device() : from.device();
            Engines.forDevice(other).copy(from, to, Stream.DEFAULT);
        }
    }

    /** Given values. */
    public static Weights of(String name, Memory memory, double... values) {
        Weights weights = new Weights(name, memory, values.length);
        weights.set(values);
        return weights;
    }

    public Parameter parameter() {
        return parameter;
    }

    /** The values as last {@link #read}. */
    public double[] values() {
        return values;
    }

    /** What {@link #write} will hand over. */
    public double[] gradients() {
        return gradients;
    }

    /** Takes over what the optimizer has written, and forgets the gradients. */
    public void read() {
        copy(parameter.value(), valueHere);
        for (int i = 0; i < values.length; i++) {
            values[i] = valueHere.get(i);
        }
        Arrays.fill(gradients, 0);
    }

    /** Hands the gradients to the optimizer, rounded once. */
    public void write() {
        for (int i = 0; i < gradients.length; i++) {
            gradientHere.set(i, gradients[i]);
        }
        copy(gradientHere, gradient);
        parameter.gradient(gradient);
    }

    /** Takes the gradient away, so that a step skips the parameter. */
    public void freeze() {
        parameter.gradient(null);
    }

    /** Sets the values, for the optimizer as well. */
    public void set(double[] newValues) {
        for (int i = 0; i < values.length; i++) {
            valueHere.set(i, newValues[i]);
        }
        copy(valueHere, parameter.value());
    }
}
