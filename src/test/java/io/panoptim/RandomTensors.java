package io.panoptim;

import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;

/** Tests of tensors that they make: random ones are the same in each run. */
public abstract class RandomTensors {
    protected final Arena arena = Arena.ofShared();
    protected final Random random = new Random(4);

    @AfterEach
    protected final void close() {
        arena.close();
    }

    protected final Tensor gaussian(DType dtype, long... shape) {
        Tensor tensor = Tensor.zeros(arena, dtype, shape);
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, random.nextGaussian());
        }
        return tensor;
    }

    /** In float32. */
    protected final Tensor constant(double value, long... shape) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, shape);
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, value);
        }
        return tensor;
    }

    protected static double[] values(Tensor tensor) {
        return LongStream.range(0, tensor.elements()).mapToDouble(tensor::get).toArray();
    }

    protected static double[] values(Parameter parameter) {
        return values(parameter.value());
    }
}
