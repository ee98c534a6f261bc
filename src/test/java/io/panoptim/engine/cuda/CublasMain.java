package io.panoptim.engine.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Says in a process of its own, without the stand-ins, which cuBLAS it finds and how that starts. */
final class CublasMain {
    private CublasMain() {}

    public static void main(String[] none) {
        List<String> tried = new ArrayList<>();
        for (int version : CublasLibrary.VERSIONS) {
            Optional<CublasLibrary> found = CublasLibrary.find(version, tried);
            if (found.isPresent()) {
                System.out.print(found.get() + ": ");
                try {
                    FfmCublas.open(found.get(), "cuda:0");
                    System.out.println("opened");
                } catch (CudaException refused) {
                    System.out.println(refused.code() + " " + refused.problem() + " " + refused.getMessage());
                }
                return;
            }
        }
        System.out.println("none: " + String.join("; ", tried));
    }
}
