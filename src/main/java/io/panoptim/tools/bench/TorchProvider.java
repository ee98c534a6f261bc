package io.panoptim.tools.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/** One of PyTorch's three implementations, in Python: {@code fused}, {@code foreach} or {@code for-loop}, its default on the CPU. */
record TorchProvider(String variant) implements ContenderProvider {
    @Override
    public String name() {
        return "torch-" + variant;
    }

    @Override
    public Optional<String> unavailable(Setting setting) {
        try {
            Process python = new ProcessBuilder(setting.python(), "-c", "import torch").redirectErrorStream(true).start();
            String output = new String(python.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return python.waitFor() == 0 ? Optional.empty() : Optional.of("`" + setting.python() + " -c 'import torch'` says: "
                    + output.strip().lines().reduce("", (first, last) -> last) + "; name a Python that has torch by --python");
        } catch (IOException missing) {
            return Optional.of(missing.getMessage() + "; name a Python that has torch by --python");
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return Optional.of("interrupted");
        }
    }

    @Override
    public boolean supports(Workload workload) {
        return true;
    }

    /** The script lies in a folder of its own, since Python imports what lies beside it, until the process has read it. */
    @Override
    public Contender open(Workload workload, Setting setting) {
        try {
            Path folder = Files.createTempDirectory("panoptim-bench");
            Path script = folder.resolve("torch_steps.py");
            try (InputStream resource = TorchProvider.class.getResourceAsStream("torch_steps.py")) {
                Files.write(script, Objects.requireNonNull(resource).readAllBytes());
                return new PeerProcess(List.of(setting.python(), script.toString()), workload, setting, variant);
            } finally {
                Files.deleteIfExists(script);
                Files.delete(folder);
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
