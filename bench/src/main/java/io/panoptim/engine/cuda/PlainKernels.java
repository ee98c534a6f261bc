package io.panoptim.engine.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import jcuda.driver.CUmodule;

/** Kernels for benchmarks, {@code bench/kernels/plain.cu}, compiled by NVRTC; in the engine's package, as they are launched as its own. */
public final class PlainKernels implements AutoCloseable {
    private final CudaEngine engine;
    private final CUmodule module;

    /** @throws io.panoptim.PanoptimException when there is no NVRTC for the device, or on the stand-in for a driver */
    public PlainKernels(CudaEngine engine) {
        this.engine = engine;
        byte[] cubin = compiler(engine).compile("plain.cu", source(), Map.of(), List.of("-arch=" + engine.context().gpu().architecture()));
        CUmodule[] loaded = new CUmodule[1];
        engine.within(() -> {
            loaded[0] = engine.context().module(cubin);
            engine.context().function(loaded[0], "scale");
        });
        this.module = loaded[0];
    }

    private static Nvrtc compiler(CudaEngine engine) {
        List<String> tried = new ArrayList<>();
        for (int version : Nvrtc.VERSIONS) {
            Optional<Nvrtc> found = version > CudaDriver.major() ? Optional.empty() : Nvrtc.find(version, tried);
            if (found.isPresent() && found.get().knows(engine.context().gpu().capability())) {
                return found.get();
            }
        }
        throw CudaException.of(CudaException.Problem.WRONG_ARCHITECTURE, "PlainKernels", "no NVRTC: " + String.join("; ", tried));
    }

    private static String source() {
        try (InputStream in = PlainKernels.class.getResourceAsStream("/plain.cu")) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }

    /** Launches a kernel on the default stream. */
    public void launch(String kernel, int blocks, int threads, long[] addresses, long count) {
        engine.within(() -> {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment parameters = arena.allocate(ValueLayout.ADDRESS, addresses.length + 2L);
                for (int i = 0; i < addresses.length; i++) {
                    parameters.setAtIndex(ValueLayout.ADDRESS, i, arena.allocateFrom(ValueLayout.JAVA_LONG, addresses[i]));
                }
                parameters.setAtIndex(ValueLayout.ADDRESS, addresses.length, arena.allocateFrom(ValueLayout.JAVA_LONG, count));
                parameters.setAtIndex(ValueLayout.ADDRESS, addresses.length + 1L, arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0.5f));
                engine.calls().launch(engine.context().function(module, kernel), blocks, threads, parameters, 0);
            }
        });
    }

    /** Free device memory, in bytes. */
    public static long freeBytes(CudaEngine engine) {
        return engine.within("PlainKernels", () -> engine.context().freeBytes());
    }

    /** How many multiprocessors the device has. */
    public static int multiprocessors(CudaEngine engine) {
        return engine.context().gpu().multiprocessors();
    }

    @Override
    public void close() {
        engine.within(() -> engine.context().free(module));
    }
}
