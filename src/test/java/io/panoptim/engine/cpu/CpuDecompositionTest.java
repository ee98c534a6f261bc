package io.panoptim.engine.cpu;

import static io.panoptim.Refusals.refused;

import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Matrices;
import io.panoptim.ffi.panoptim_decomposition;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

/** What is made of LAPACK's answers. */
class CpuDecompositionTest {
    /** It works in place, and matrices before and after the one that failed may be done. */
    @Test
    void aFailureToConvergeIsAFault() {
        try (Arena arena = Arena.ofShared()) {
            Decomposition eigen = Decomposition.eigen(Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 4, 3, 3)),
                    Tensor.zeros(arena, DType.FLOAT32, 4, 3));
            try (CpuDecomposition decomposition = new CpuDecomposition(eigen)) {
                decomposition.checkDone();
                panoptim_decomposition.failed(decomposition.parts().getFirst().subject(), 3);
                refused(Code.FAULT, "LAPACK did not converge for matrix 2 of a batch of float32[4, 3, 3]", decomposition::checkDone);
            }
        }
    }
}
