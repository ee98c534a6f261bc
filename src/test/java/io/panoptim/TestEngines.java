package io.panoptim;

import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.engine.cpu.Isa;
import io.panoptim.engine.cuda.CudaDriver;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.engine.cuda.CudaShim;
import java.util.ArrayList;
import java.util.List;

/** The engines that tests compare. */
public final class TestEngines {
    private TestEngines() {}

    public static Engine reference() {
        return Engines.named("reference");
    }

    /** The CPU engine with its defaults; without one the test is skipped, with the reason. */
    public static Engine cpu() {
        return named("cpu");
    }

    /** The CUDA engine, on a GPU or on the stand-in for a driver ({@link CudaChoice}); without either the test is skipped, with the reason. */
    public static CudaEngine cuda() {
        return (CudaEngine) named("cuda");
    }

    /** The same for tensors in the CPU's memory. */
    public static Engine mirror() {
        return new MirrorEngine(cuda());
    }

    /** Whether what {@link #cuda} runs on is the stand-in: some thousand times slower than a GPU. */
    public static boolean isCudaSlow() {
        return CudaShim.file().toString().equals(System.getProperty(CudaDriver.PROPERTY));
    }

    /** The CUDA engine for tensors in the CPU's memory, or nothing where there is none. */
    public static List<Engine> mirrors() {
        return Engines.providers().stream().anyMatch(provider -> provider.name().equals("cuda") && provider.unavailable().isEmpty())
                ? List.of(mirror()) : List.of();
    }

    /** {@link #variants}, and the CUDA engine where there is one, for tensors in the CPU's memory. */
    public static List<Engine> all() {
        List<Engine> engines = new ArrayList<>(variants());
        engines.addAll(mirrors());
        return engines;
    }

    /** The reference engine, and the CPU's of each tier. */
    public static List<Engine> ofTiers() {
        return ofTiers(tiers());
    }

    private static List<Engine> ofTiers(List<Isa> tiers) {
        List<Engine> engines = new ArrayList<>(List.of(reference()));
        tiers.forEach(isa -> engines.add(open(isa, 3, 1)));
        return engines;
    }

    /** The reference engine, the CPU's of each tier that multiplies matrices and, where there is one, CUDA's for tensors in the CPU's memory. */
    public static List<Engine> multiplying() {
        List<Engine> engines = ofTiers(multiplyingTiers());
        engines.addAll(mirrors());
        return engines;
    }

    /** Closes what {@link #all} has opened. */
    public static void close(List<Engine> engines) {
        engines.stream().filter(CpuEngine.class::isInstance).map(CpuEngine.class::cast).forEach(CpuEngine::close);
    }

    /** The engine of a name; without it the test is skipped, with the reason. */
    public static Engine named(String name) {
        try {
            return Engines.named(name);
        } catch (PanoptimException reason) {
            return abort(reason.getMessage());
        }
    }

    /** The tiers that this processor has and this build contains; at least one, or the test is skipped with the reasons. */
    public static List<Isa> tiers() {
        List<Isa> tiers = new ArrayList<>();
        StringBuilder reasons = new StringBuilder();
        for (Isa isa : Isa.ofArchitecture()) {
            try (CpuEngine engine = open(isa, 1, 1)) {
                tiers.add(engine.isa());
            } catch (PanoptimException reason) {
                reasons.append(reason.getMessage()).append('\n');
            }
        }
        assumeTrue(!tiers.isEmpty(), reasons::toString);
        return tiers;
    }

    /** Those that multiply matrices: none with {@code -Dpanoptim.test.blas=none}, for where OpenBLAS is not, and that is no failure. */
    public static List<Isa> multiplyingTiers() {
        return System.getProperty("panoptim.test.blas", "").equals("none") ? List.of() : tiers();
    }

    /** A CPU engine of one tier; chunks are given in leaves. */
    public static CpuEngine open(Isa isa, int threads, int chunkLeaves) {
        return CpuEngine.open(CpuOptions.defaults().withIsa(isa).withThreads(threads).withChunkElements(chunkLeaves * 1024));
    }

    /** Every tier, with one, two and more threads than this machine has, in small and large chunks. */
    public static List<CpuEngine> variants() {
        List<CpuEngine> engines = new ArrayList<>();
        for (Isa isa : tiers()) {
            engines.add(open(isa, 1, 64));
            engines.add(open(isa, 2, 1));
            engines.add(open(isa, 5, 16));
        }
        return engines;
    }
}
