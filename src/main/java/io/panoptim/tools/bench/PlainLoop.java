package io.panoptim.tools.bench;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.HugePageArena;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;

/**
 * What memory allows: {@code plain_loop.c}, compiled by this machine's C compiler for this machine's processor, over arrays as long as
 * all tensors together. Its results mean nothing.
 */
public final class PlainLoop implements Contender {
    /** What it moves for each element: four arrays are read, three written, of float32. */
    public static final int BYTES_PER_ELEMENT = 7 * Float.BYTES;

    /** The ceiling of AdamW's workloads. */
    static final class Provider implements ContenderProvider {
        @Override
        public String name() {
            return "plain-loop";
        }

        @Override
        public Optional<String> unavailable(Setting setting) {
            try {
                Process compiler = new ProcessBuilder(COMPILER, "--version").redirectErrorStream(true).start();
                compiler.getInputStream().readAllBytes();
                return compiler.waitFor() == 0 ? Optional.empty() : Optional.of("`cc --version` fails");
            } catch (IOException missing) {
                return Optional.of(missing.getMessage() + "; install a C compiler");
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                return Optional.of("interrupted");
            }
        }

        @Override
        public boolean supports(Workload workload) {
            return workload.rule() == Workload.Rule.ADAMW && !workload.extent().isWhole();
        }

        @Override
        public Contender open(Workload workload, Setting setting) {
            return new PlainLoop(workload.elements(), 1, setting.threads());
        }
    }

    private static final String COMPILER = "cc";
    private static final int ARRAYS = 4;

    private final Arena arena = HugePageArena.ofShared();
    private final MemorySegment[] arrays = new MemorySegment[ARRAYS];
    private final MethodHandle loop;
    private final long count;
    private final int places;
    private final int threads;
    private int place;

    /**
     * Over arrays of {@code count} elements; each step is over the next of several such places, so that caches do not hold them.
     *
     * @throws PanoptimException when there is no C compiler, or not one that can compile it
     */
    public PlainLoop(long count, int places, int threads) {
        this.count = count;
        this.places = places;
        this.threads = threads;
        loop = Linker.nativeLinker().downcallHandle(compiled(), FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS,
                ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
        for (int array = 0; array < ARRAYS; array++) {
            arrays[array] = arena.allocate(count * places * Float.BYTES, 64);
            for (long i = 0; i < count * places; i++) {
                arrays[array].setAtIndex(ValueLayout.JAVA_FLOAT, i, array == 1 ? Inputs.gradient(0, i) * 0x1p-20f : Inputs.value(0, i));
            }
        }
    }

    private MemorySegment compiled() {
        try {
            Path folder = Files.createTempDirectory("panoptim-plain-loop");
            Path source = folder.resolve("plain_loop.c");
            Path library = folder.resolve("plain_loop.so");
            try (InputStream resource = PlainLoop.class.getResourceAsStream("plain_loop.c")) {
                Files.write(source, Objects.requireNonNull(resource).readAllBytes());
            }
            Process compiler = new ProcessBuilder(COMPILER, "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", source.toString(), "-o",
                    library.toString()).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            if (compiler.waitFor() != 0) {
                throw new PanoptimException(Code.UNAVAILABLE, "bench", "cc could not compile plain_loop.c: its error is above");
            }
            // It stays loaded: the threads of its OpenMP do not end.
            MemorySegment function = SymbolLookup.libraryLookup(library, Arena.global()).findOrThrow("plain_loop");
            Files.delete(source);
            Files.delete(library);
            Files.delete(folder);
            return function;
        } catch (IOException | InterruptedException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, "bench", "plain_loop.c could not be compiled: " + failure, failure);
        }
    }

    @Override
    public String description() {
        return "plain C loop: reads 4 arrays, writes 3; " + threads + " threads";
    }

    @Override
    public double steps(int steps) {
        try {
            long start = System.nanoTime();
            for (int i = 0; i < steps; i++) {
                loop.invokeExact(count, array(0), array(1), array(2), array(3), threads);
                place = (place + 1) % places;
            }
            return (System.nanoTime() - start) * 1e-9;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    private MemorySegment array(int number) {
        return arrays[number].asSlice(place * count * Float.BYTES, count * Float.BYTES);
    }

    @Override
    public double checksum() {
        return Double.NaN;
    }

    @Override
    public void close() {
        arena.close();
    }
}
