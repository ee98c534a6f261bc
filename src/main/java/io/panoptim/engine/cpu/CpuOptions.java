package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.ChunkPlan;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How a CPU engine runs. Results do not depend on any of this.
 *
 * @param isas the tiers to try, the best first
 * @param threads how many threads share a step, the calling one included
 * @param chunkElements the largest piece of work, a multiple of {@link ChunkPlan#LEAF}
 */
public record CpuOptions(List<Isa> isas, int threads, int chunkElements) {
    /** Sets the number of threads. */
    public static final String THREADS_VARIABLE = "PANOPTIM_NUM_THREADS";

    private static final int MAX_THREADS = 1024;
    private static final int CHUNK = 16 * ChunkPlan.LEAF;

    public CpuOptions {
        isas = List.copyOf(isas);
        if (threads < 1 || threads > MAX_THREADS) {
            throw PanoptimException.invalid("CpuOptions", threads + " threads: between 1 and " + MAX_THREADS + " are possible");
        }
        if (chunkElements < ChunkPlan.LEAF || chunkElements % ChunkPlan.LEAF != 0) {
            throw PanoptimException.invalid("CpuOptions", "chunks of " + chunkElements + " elements: a multiple of "
                    + ChunkPlan.LEAF + " is needed");
        }
    }

    /**
     * The best tier, capped by {@value Isa#MAX_ISA_VARIABLE}, and {@value #THREADS_VARIABLE} threads, or as many as the
     * container may use.
     */
    public static CpuOptions defaults() {
        return of(System.getenv(Isa.MAX_ISA_VARIABLE), System.getenv(THREADS_VARIABLE));
    }

    /** Exactly this tier. */
    public CpuOptions withIsa(Isa isa) {
        return new CpuOptions(List.of(isa), threads, chunkElements);
    }

    public CpuOptions withThreads(int newThreads) {
        return new CpuOptions(isas, newThreads, chunkElements);
    }

    public CpuOptions withChunkElements(int newChunkElements) {
        return new CpuOptions(isas, threads, newChunkElements);
    }

    static CpuOptions of(@Nullable String maxIsa, @Nullable String threads) {
        return new CpuOptions(Isa.allowed(maxIsa), threads == null || threads.isBlank()
                ? Runtime.getRuntime().availableProcessors() : number(threads), CHUNK);
    }

    private static int number(String threads) {
        try {
            return Integer.parseInt(threads.strip());
        } catch (NumberFormatException notANumber) {
            throw PanoptimException.invalid(THREADS_VARIABLE, "'" + threads + "' is not a number of threads");
        }
    }
}
