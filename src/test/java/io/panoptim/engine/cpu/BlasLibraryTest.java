package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Command;
import io.panoptim.TestEngines;
import io.panoptim.ffi.panoptim_blas;
import java.io.File;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where OpenBLAS is looked for, and what is said when it is not there. */
class BlasLibraryTest {
    private static final String WITH = System.getProperty("java.class.path");
    private static final String WITHOUT = Arrays.stream(WITH.split(File.pathSeparator)).filter(entry -> !entry.contains("openblas"))
            .collect(Collectors.joining(File.pathSeparator));

    @BeforeEach
    void thereIsACpuEngine() {
        TestEngines.cpu();
    }

    @Test
    void withoutTheArtifactTheRefusalSaysWhatToDo() throws Exception {
        String output = run(WITHOUT);
        String platform = LibraryLocator.platform().replace("aarch64", "arm64");
        assertTrue(output.startsWith("UNAVAILABLE matmul: no BLAS library, by which the cpu engine multiplies matrices: add "
                + "org.bytedeco:openblas with the classifier " + platform + " to the class path, install OpenBLAS and name its file with "
                + "-Dpanoptim.blas.file, or use the reference engine; tried: "), output);
        assertTrue(output.contains("resource /org/bytedeco/openblas/" + platform + "/libopenblas.so.0: not on the class path"), output);
    }

    @Test
    void withoutItMatricesAreDecomposedInPlainJavaAndAWarningSaysWhy() throws Exception {
        String output = run(WITHOUT, List.of("qr"));
        assertTrue(output.contains("matrices are decomposed in plain Java, far slower than by LAPACK: matmul: no BLAS library"), output);
        assertTrue(output.contains("q is -0.6"), output);
    }

    @Test
    void aFileThatIsNamedIsTheOnlyOneTried(@TempDir Path folder) throws Exception {
        String missing = run(WITH, "-Dpanoptim.blas.file=" + folder.resolve("none.so"));
        assertTrue(missing.startsWith("UNAVAILABLE") && missing.contains(folder.resolve("none.so") + ": "), missing);
        Path other = Files.createFile(folder.resolve("empty.so"));
        assertTrue(run(WITH, "-Dpanoptim.blas.file=" + other).contains("file too short"));
        assertTrue(run(WITH, "-Dpanoptim.blas.file=" + BuiltLibrary.of(TestEngines.tiers().getFirst()))
                .contains("has no cblas_sgemm and cblas_dgemm"));
    }

    /** The files that the artifact was unpacked to serve as an installed OpenBLAS. */
    @Test
    void aNamedFileOrOneOnTheLibraryPathIsLoaded(@TempDir Path folder) throws Exception {
        assumeTrue(!WITH.equals(WITHOUT), "OpenBLAS's artifact is not on the class path");
        String artifact = run(WITH);
        assertTrue(artifact.startsWith("4.0 by OpenBLAS"), artifact);
        Path file = Path.of(artifact.substring(artifact.lastIndexOf(", ") + 2).strip());
        for (String name : List.of("libquadmath.so.0", "libgfortran.so.5")) { // beside it, where its run path points
            try (var found = Files.find(file.getParent().getParent(), 2, (path, attributes) -> path.endsWith(name))) {
                for (Path library : found.toList()) {
                    Files.copy(library, folder.resolve(name));
                    break;
                }
            }
        }
        Path copy = Files.copy(file, folder.resolve("libopenblas.so.0"));
        assertTrue(run(WITHOUT, "-Dpanoptim.blas.file=" + copy).endsWith(", " + copy + "\n"));
        assertTrue(run(WITHOUT, "-Djava.library.path=" + folder).endsWith(", " + copy + "\n"));
    }

    @Test
    void withoutOneDnnBfloat16IsWidenedAndTheReasonSaysWhatToDo(@TempDir Path folder) throws Exception {
        assumeTrue(run(WITH).startsWith("4.0"), "there is no OpenBLAS");
        String without = Arrays.stream(WITH.split(File.pathSeparator)).filter(entry -> !entry.contains("dnnl"))
                .collect(Collectors.joining(File.pathSeparator));
        String output = bfloat16(without);
        assertTrue(output.startsWith("9.0 by no oneDNN that multiplies bfloat16, which is widened to float32 instead: add org.bytedeco:dnnl "
                + "with the classifier "), output);
        assertTrue(output.contains("install oneDNN and name its file with -Dpanoptim.onednn.file; tried: "), output);
        Path empty = Files.createFile(folder.resolve("empty.so"));
        assertTrue(bfloat16(WITH, "-Dpanoptim.onednn.file=" + empty).contains("file too short"));
        assertTrue(bfloat16(WITH, "-Dpanoptim.onednn.file=" + BuiltLibrary.of(TestEngines.tiers().getFirst()))
                .contains("lacks functions of oneDNN"));
    }

    @Test
    void oneDnnMultipliesWhereTheProcessorHasInstructionsForIt() throws Exception {
        assumeTrue(run(WITH).startsWith("4.0") && WITH.contains("dnnl-"), "the artifacts are not on the class path");
        boolean instructions = Files.lines(Path.of("/proc/cpuinfo")).anyMatch(line -> line.startsWith("flags") && line.contains(" avx512_bf16"));
        String output = bfloat16(WITH);
        assertTrue(instructions ? output.startsWith("9.0 by oneDNN, ") : output.contains("this processor has no instructions"), output);
    }

    @Test
    void matricesAreDecomposedByItOnlyIfItHasAllOfTheFunctions() {
        for (int missing = -1; missing < 6; missing++) {
            MemorySegment functions = panoptim_blas.allocate(Arena.ofAuto());
            List<BiConsumer<MemorySegment, MemorySegment>> setters = List.of(panoptim_blas::ssyevd, panoptim_blas::dsyevd,
                    panoptim_blas::sgeqrf, panoptim_blas::dgeqrf, panoptim_blas::sorgqr, panoptim_blas::dorgqr);
            for (int i = 0; i < setters.size(); i++) {
                setters.get(i).accept(functions, i == missing ? MemorySegment.NULL : MemorySegment.ofAddress(1));
            }
            assertEquals(missing < 0, new BlasLibrary(Path.of("none"), functions).hasLapack(), missing + " is missing");
        }
    }

    /** What is said of a product of bfloat16, after one of float32. */
    private static String bfloat16(String classPath, String... options) throws Exception {
        return run(classPath, List.of("bfloat16"), options).lines().skip(1).collect(Collectors.joining("\n"));
    }

    private static String run(String classPath, String... options) throws Exception {
        return run(classPath, List.of(), options);
    }

    private static String run(String classPath, List<String> arguments, String... options) throws Exception {
        List<String> command = new ArrayList<>(List.of(Command.java(), "--enable-native-access=ALL-UNNAMED", "-cp", classPath));
        command.addAll(List.of(options));
        command.add(BlasMain.class.getName());
        command.addAll(arguments);
        return Command.run(command.toArray(String[]::new)).output();
    }
}
