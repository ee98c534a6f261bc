package io.panoptim.tools.replay;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.checkpoint.SafeTensors;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * {@code panoptim replay}. Exits with 0 and the output written; with 1 if the result is not as expected, which is one line
 * on standard error. Then, and when it throws, nothing is written.
 */
@Command(name = "replay", sortOptions = false,
        description = "Repeats a training run recorded in PyTorch, and compares the result bit by bit.")
public final class ReplayCommand implements Callable<Integer> {
    private static final int SAME = 0;
    private static final int DIFFERENT = 1;

    @Spec
    private CommandSpec spec;

    @Option(names = "--config", required = true, paramLabel = "CONFIG.json",
            description = "The optimizer, its options, groups and scheduler, under PyTorch's names.")
    private Path config;

    @Option(names = "--trace", required = true, paramLabel = "TRACE.safetensors",
            description = "Initial parameters (param/NAME) and gradients (grad/STEP/NAME, or grad/STEP/NAME.indices and "
                    + "grad/STEP/NAME.values where they are sparse). With closures: loss/STEP/EVALUATION, and "
                    + "grad/STEP/EVALUATION/NAME. For SophiaG also samples of the Hessian (hessian/STEP/NAME), which update it after "
                    + "the step of that number.")
    private Path trace;

    @Option(names = "--out", required = true, paramLabel = "OUT.safetensors",
            description = "Where to write the last parameters (param/NAME) and the state (state/NAME/KEY). Of a schedule-free "
                    + "optimizer these are the parameters in train mode.")
    private Path out;

    @Option(names = "--device", paramLabel = "reference|cpu|cuda", description = "By default the best that can be had here.")
    private @Nullable String device;

    @Option(names = "--expect", paramLabel = "EXPECTED.safetensors",
            description = "What the output should be. Prints how each tensor differs, and exits with 1 if any does.")
    private @Nullable Path expect;

    @Override
    public Integer call() {
        if (expect == null) {
            return replay(null);
        }
        try (SafeTensors expected = SafeTensors.open(expect)) {
            return replay(expected);
        }
    }

    private int replay(@Nullable SafeTensors expected) {
        checkOut();
        ReplayConfig read = ReplayConfig.read(config);
        try (Trace recorded = Trace.open(trace);
             Replay replay = new Replay(engine(), read, recorded)) {
            replay.run();
            Map<String, Tensor> tensors = replay.tensors();
            if (expected != null) {
                Comparison comparison = Comparison.of(tensors, expected);
                comparison.lines().forEach(spec.commandLine().getOut()::println);
                if (!comparison.differing().isEmpty()) {
                    String message = "panoptim: replay: " + comparison.differing().size() + " of " + comparison.lines().size()
                            + " tensors differ from " + expected.file() + ", the first '" + comparison.differing().getFirst()
                            + "'; " + out + " was not written";
                    spec.commandLine().getErr().println(message.lines().collect(Collectors.joining("; ")));
                    return DIFFERENT;
                }
            }
            SafeTensors.write(out, tensors, Map.of("lr", replay.learningRates()));
            spec.commandLine().getOut().println(out + ": " + tensors.size() + " tensors after " + recorded.steps() + " steps");
            return SAME;
        }
    }

    private Engine engine() {
        return device == null ? Engines.forDevice(Device.best()) : Engines.named(device);
    }

    /** Refuses before a long run what could not be written after it, or would destroy what is read. */
    private void checkOut() {
        Path folder = out.toAbsolutePath().getParent();
        if (folder == null || !Files.isDirectory(folder)) {
            throw new PanoptimException(Code.UNAVAILABLE, "replay", out + ": cannot be written: its folder does not exist");
        }
        if (Files.exists(out) && !Files.isRegularFile(out)) {
            throw PanoptimException.invalid("replay", out + ": exists and is not a regular file");
        }
        for (Path input : expect == null ? new Path[] {config, trace} : new Path[] {config, trace, expect}) {
            if (isSame(input)) {
                throw PanoptimException.invalid("replay", out + ": is read by this replay: --out must be another file");
            }
        }
    }

    private boolean isSame(Path input) {
        try {
            return Files.isSameFile(input, out);
        } catch (IOException missing) {
            return false; // what is missing is refused when it is opened
        }
    }
}
