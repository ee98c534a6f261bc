package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Rule;
import io.panoptim.engine.cuda.CudaException.Problem;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import jcuda.driver.CUmodule;
import org.jspecify.annotations.Nullable;

/** The kernels of the jar, loaded into a context when they are first used: the build's fat binaries or,
 * where the driver refuses them, what NVRTC makes of their sources. */
final class CudaKernels implements AutoCloseable {
    /** A folder of fat binaries, or cubins under their names, to be loaded instead of the jar's. */
    static final String PROPERTY = "panoptim.cuda.kernels";

    private static final String FOLDER = "/META-INF/cuda/";
    private static final String HASH = "panoptim_rules_hash";

    /** Of kernels: a file in {@code kernels/}, and what the build makes of it. */
    enum Source {
        /** Steps, one kernel for each rule, compute type and number of slots. */
        STEP("step.cu", "panoptim.fatbin"),
        /** Likewise, over tensors that are stored as something else than numbers. */
        STAGED("staged.cu", "staged.fatbin"),
        /** The verbs over whole columns. */
        COLUMNS("columns.cu", "columns.fatbin"),
        /** What a matrix product takes besides cuBLAS. */
        PRODUCTS("products.cu", "products.fatbin"),
        /** What comes before a step over rows. */
        ROWS("rows.cu", "rows.fatbin"),
        /** Steps of tensors with factored second moments. */
        FACTORED("factored.cu", "factored.fatbin"),
        /** What is done to control blocks. */
        CONTROL("control.cu", "control.fatbin");

        private final String file;
        private final String fatBinary;

        Source(String file, String fatBinary) {
            this.file = file;
            this.fatBinary = fatBinary;
        }
    }

    private final CudaContext context;
    private final StreamCalls calls;
    /** By source, and by rule where they are compiled rule by rule. */
    private final Map<String, CUmodule> modules = new HashMap<>();
    private final Map<String, MemorySegment> functions = new HashMap<>();
    /** Where the fat binaries cannot be loaded. */
    private @Nullable Nvrtc compiler;

    /**
     * Loads the kernels of steps into the current context, or finds a compiler that makes them when they are needed.
     *
     * @throws PanoptimException listing what was tried, when there are none for it
     */
    CudaKernels(CudaContext context, StreamCalls calls) {
        this.context = context;
        this.calls = calls;
        List<String> reasons = new ArrayList<>();
        try {
            CUmodule module = context.module(image(Source.STEP.fatBinary));
            modules.put(Source.STEP.fatBinary, module);
            checkHash(module);
        } catch (IOException missing) {
            reasons.add(missing.getMessage());
        } catch (CudaException refused) {
            reasons.add(Source.STEP.fatBinary + ": " + refused.getMessage());
        }
        if (!reasons.isEmpty()) {
            compiler = compiler(context.gpu(), CudaDriver.major(), reasons);
        }
    }

    /** The first compiler whose machine code the driver and the GPU can use. */
    private static Nvrtc compiler(CudaDriver.Gpu gpu, int driver, List<String> reasons) {
        for (int version : Nvrtc.VERSIONS) {
            if (version > driver) {
                reasons.add("NVRTC " + version + ": the driver is for CUDA " + driver + " and cannot load what it makes");
                continue;
            }
            Optional<Nvrtc> found = Nvrtc.find(version, reasons);
            if (found.isPresent() && found.get().knows(gpu.capability())) {
                return found.get();
            }
            found.ifPresent(old -> reasons.add(old + " does not know " + gpu.architecture()));
        }
        throw CudaException.of(Problem.WRONG_ARCHITECTURE, "CUDA engine", "no kernels for cuda:" + gpu.index() + ", " + gpu.architecture()
                + ": " + String.join("; ", reasons));
    }

    private CUmodule module(Source source, @Nullable Rule rule) {
        boolean byRule = compiler != null && rule != null;
        String key = byRule ? source + " " + rule.name() : source.fatBinary;
        CUmodule there = modules.get(key);
        if (there == null) {
            there = load(source, byRule ? KernelSources.definitions(source, rule) : List.of());
            modules.put(key, there);
        }
        return there;
    }

    private CUmodule load(Source source, List<String> definitions) {
        if (compiler != null) {
            return context.module(KernelSources.compile(compiler, source.file, definitions, context.gpu().capability()));
        }
        try {
            return context.module(image(source.fatBinary));
        } catch (IOException missing) {
            throw CudaException.of(Problem.WRONG_ARCHITECTURE, "CUDA engine", String.valueOf(missing.getMessage()));
        }
    }

    private void checkHash(CUmodule module) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment hash = arena.allocate(Rule.HASH.length() + 1L);
            calls.copyToHost(hash, context.variable(module, HASH), hash.byteSize(), 0);
            calls.synchronize(0);
            if (!hash.getString(0).equals(Rule.HASH)) {
                throw new PanoptimException(Code.UNAVAILABLE, "CUDA engine", "the kernels were built from other rules ("
                        + hash.getString(0) + ") than this jar (" + Rule.HASH + "): build them together");
            }
        }
    }

    private static byte[] image(String name) throws IOException {
        String folder = System.getProperty(PROPERTY);
        if (folder != null) {
            Path file = Path.of(folder, name);
            if (!Files.isRegularFile(file)) {
                throw new IOException(file + " (from -D" + PROPERTY + "): no such file");
            }
            return Files.readAllBytes(file);
        }
        try (InputStream in = CudaKernels.class.getResourceAsStream(FOLDER + name)) {
            if (in == null) {
                throw new IOException("resource " + FOLDER + name + ": not in this build (it is there when nvcc was found by the build)");
            }
            return in.readAllBytes();
        }
    }

    /** Where the kernels come from, for people. */
    String origin() {
        return compiler == null ? "fat binary" : compiler.toString();
    }

    /** A kernel of a name, of some rule where there is one, to be launched in the current context. */
    synchronized MemorySegment function(Source source, @Nullable Rule rule, String name) {
        MemorySegment there = functions.get(name);
        if (there == null) {
            there = context.function(module(source, rule), name);
            functions.put(name, there);
        }
        return there;
    }

    @Override
    public synchronized void close() {
        functions.clear();
        modules.values().forEach(context::free);
        modules.clear();
    }
}
