package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.Stream;
import io.panoptim.linalg.Linalg;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;

/** Says in a process of its own whether it gets a matrix product. */
final class BlasMain {
    private BlasMain() {}

    public static void main(String[] more) {
        try {
            if (List.of(more).contains("qr")) {
                Tensor matrix = Tensor.of(Arena.ofAuto(), new float[] {3, 4}, 2, 1);
                Engines.named("cpu").decompose(Decomposition.qr(Matrices.of(matrix)), Stream.DEFAULT);
                System.out.println("q is " + matrix.get(0) + " " + matrix.get(1));
                return;
            }
            Tensor one = Tensor.of(Arena.ofAuto(), new float[] {2}, 1, 1);
            Tensor product = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 1, 1);
            Linalg.matmul(one, one, product);
            CpuEngine engine = (CpuEngine) Engines.named("cpu");
            System.out.println(product.get(0) + " by " + engine.blas());
            if (more.length > 0) {
                Tensor half = Tensor.zeros(Arena.ofAuto(), DType.BFLOAT16, 1, 1);
                half.set(0, 3);
                Tensor square = Tensor.zeros(Arena.ofAuto(), DType.BFLOAT16, 1, 1);
                Linalg.matmul(half, half, square);
                System.out.println(square.get(0) + " by " + engine.bfloat16Products());
            }
        } catch (PanoptimException refusal) {
            System.out.println(refusal.code() + " " + refusal.getMessage());
        }
    }
}
