package io.panoptim.tools;

import io.panoptim.PanoptimException;
import io.panoptim.engine.EngineProvider;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rule;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.engine.cpu.Isa;
import io.panoptim.engine.cuda.CudaDriver;
import io.panoptim.engine.cuda.CudaLibraries;
import io.panoptim.tensor.Device;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import jcuda.JCudaVersion;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code panoptim info}: what there is on this machine, and for what is missing the reason. */
@Command(name = "info", description = "Shows which engines, instruction sets and GPUs can be used here, and why others cannot.")
final class InfoCommand implements Runnable {
    private static final String LINE = "  %-11s %s%n";

    @Spec
    private CommandSpec spec;

    @Override
    public void run() {
        PrintWriter out = spec.commandLine().getOut();
        out.println(spec.version()[0] + ", Java " + Runtime.version() + " (" + System.getProperty("java.vendor") + "), "
                + System.getProperty("os.name") + " " + System.getProperty("os.arch") + ", "
                + Runtime.getRuntime().availableProcessors() + " processors");
        out.println("\nEngines, the preferred first");
        Engines.providers().forEach(provider -> print(out, provider.name(), engine(provider)));
        out.println("\nInstruction-set tiers of the CPU engine");
        Isa.ofArchitecture().forEach(isa -> print(out, isa.id(), tier(isa)));
        out.println("\nMatrix products of the CPU engine");
        print(out, "BLAS", cpu(CpuEngine::blas));
        print(out, "bfloat16", cpu(CpuEngine::bfloat16Products));
        out.println("\nUpdate rules, SHA-256 " + Rule.HASH);
        for (Rule rule : Rule.all()) {
            print(out, rule.name(), "exactness: " + rule.exactness() + "; states: "
                    + String.join(", ", rule.states()));
        }
        out.println("\nCUDA");
        print(out, "JCuda", JCudaVersion.get());
        Optional<String> missing = CudaDriver.unavailable();
        print(out, "driver", missing.map(reason -> "not available: " + reason)
                .orElseGet(() -> "CUDA " + CudaDriver.version() + ", " + CudaDriver.file()));
        CudaLibraries.all().forEach((name, found) -> print(out, name, found.startsWith(CudaLibraries.MISSING)
                ? missing(found.substring(CudaLibraries.MISSING.length())) : found));
        if (missing.isEmpty()) {
            for (CudaDriver.Gpu gpu : CudaDriver.gpus()) {
                print(out, "cuda:" + gpu.index(), "%s, %.1f GiB, compute capability %d.%d, %d multiprocessors".formatted(
                        gpu.name(), gpu.memory() / 0x1p30, gpu.major(), gpu.minor(), gpu.multiprocessors()));
            }
        }
        print(out, "best device", Device.best().toString());
        out.flush();
    }

    private static String engine(EngineProvider provider) {
        try {
            return Engines.named(provider.name()).description();
        } catch (PanoptimException reason) {
            return missing(provider.unavailable().orElse(String.valueOf(reason.getMessage())));
        }
    }

    private static String tier(Isa isa) {
        try (CpuEngine engine = CpuEngine.open(CpuOptions.defaults().withIsa(isa).withThreads(1))) {
            return "available: " + engine.description();
        } catch (PanoptimException reason) {
            return missing(String.valueOf(reason.getMessage()));
        }
    }

    private static String cpu(Function<CpuEngine, String> libraries) {
        try (CpuEngine engine = CpuEngine.open(CpuOptions.defaults().withThreads(1))) {
            return libraries.apply(engine);
        } catch (PanoptimException reason) {
            return missing(String.valueOf(reason.getMessage()));
        }
    }

    /** One line for each place tried. */
    private static String missing(String reasons) {
        return reasons.lines().flatMap(line -> Arrays.stream(line.split("; ")))
                .map(reason -> "\n" + " ".repeat(16) + reason).collect(Collectors.joining("", "not available:", ""));
    }

    private static void print(PrintWriter out, String name, String text) {
        out.printf(Locale.ROOT, LINE, name, text);
    }
}
