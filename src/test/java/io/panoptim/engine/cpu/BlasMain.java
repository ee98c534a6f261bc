package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engines;
import io.panoptim.linalg.Linalg;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;

/** Says in a process of its own whether it gets a matrix product. */
final class BlasMain {
    private BlasMain() {}

    public static void main(String[] none) {
        try {
            Tensor one = Tensor.of(Arena.ofAuto(), new float[] {2}, 1, 1);
            Tensor product = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 1, 1);
            Linalg.matmul(one, one, product);
            System.out.println(product.get(0) + " by " + ((CpuEngine) Engines.named("cpu")).blas());
        } catch (PanoptimException refusal) {
            System.out.println(refusal.code() + " " + refusal.getMessage());
        }
    }
}
