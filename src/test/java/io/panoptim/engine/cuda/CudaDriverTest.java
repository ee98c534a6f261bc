package io.panoptim.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Command;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tools.Main;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CudaDriverTest {
    @Test
    void aMissingDriverIsAReasonAndWhatToDo() {
        String reason = CudaDriver.load("libcuda-of-this-test.so.1").orElseThrow().reason();
        assertTrue(reason.startsWith("libcuda-of-this-test.so.1 cannot be loaded: install NVIDIA's driver"), reason);
    }

    @Test
    void anotherLibraryOfThatNameIsAReason() {
        assertEquals("libc.so.6 is not NVIDIA's driver: it has no cuInit", CudaDriver.load("libc.so.6").orElseThrow().reason());
    }

    @Test
    void withoutADriverEveryCallRepeatsTheReason() {
        assumeTrue(CudaDriver.unavailable().isPresent(), "there is a driver here");
        String reason = CudaDriver.unavailable().orElseThrow();
        for (int i = 0; i < 2; i++) {
            PanoptimException refused = assertThrows(PanoptimException.class, CudaDriver::gpus);
            assertEquals(Code.UNAVAILABLE, refused.code());
            assertEquals("CUDA: " + reason, refused.getMessage());
        }
    }

    @Test
    void theTemporaryFolderIsAsBefore(@TempDir Path temporary, @TempDir Path cache) throws Exception {
        String before = System.getProperty("java.io.tmpdir");
        CudaDriver.unavailable();
        assertEquals(before, System.getProperty("java.io.tmpdir"));

        Command info = Command.run(Map.of("XDG_CACHE_HOME", cache.toString()), List.of(Command.java(),
                "--enable-native-access=ALL-UNNAMED", "-Djava.io.tmpdir=" + temporary, "-cp", System.getProperty("java.class.path"),
                Main.class.getName(), "info"));
        assertEquals(0, info.status(), info.output());
        assertFalse(info.output().contains("WARNING"), info.output());
        try (Stream<Path> files = Files.list(temporary)) {
            assertEquals(List.of(), files.toList());
        }
    }
}
