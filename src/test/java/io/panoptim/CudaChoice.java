package io.panoptim;

import io.panoptim.engine.cuda.CudaDriver;
import io.panoptim.engine.cuda.CudaShim;
import io.panoptim.tensor.Device;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.junit.platform.launcher.LauncherSession;
import org.junit.platform.launcher.LauncherSessionListener;

/**
 * Which CUDA driver the tests run on, chosen before anything loads one: {@code -Dpanoptim.test.cuda=gpu} the machine's own,
 * {@code shim} the stand-in that the build makes of {@code native/test/cuda}, which runs the kernels on the CPU, {@code none} neither;
 * by default the machine's own where there is an NVIDIA GPU, else the stand-in.
 */
public final class CudaChoice implements LauncherSessionListener {
    private static final String PROPERTY = "panoptim.test.cuda";

    private enum Driver { GPU, SHIM, NONE }

    @Override
    public void launcherSessionOpened(LauncherSession session) {
        if (System.getProperty(CudaDriver.PROPERTY) != null) {
            return;
        }
        switch (chosen()) {
            case GPU -> { }
            case SHIM -> {
                System.setProperty(CudaDriver.PROPERTY, CudaShim.file().toString());
                System.setProperty("panoptim.cuda.kernels", images().toString());
                System.setProperty("panoptim.cublas.path", CudaShim.file().getParent().toString());
                System.setProperty(Device.PROPERTY, "cpu"); // nobody's best device
            }
            case NONE -> System.setProperty(CudaDriver.PROPERTY, "/none (-D" + PROPERTY + "=none)");
        }
    }

    private static Driver chosen() {
        String given = System.getProperty(PROPERTY, "");
        return !given.isEmpty() ? Driver.valueOf(given.toUpperCase(Locale.ROOT))
                : Files.exists(Path.of("/dev/nvidiactl")) ? Driver.GPU : Driver.SHIM;
    }

    /** The stand-in has the kernels; what it loads only needs to begin as a fat binary does, so that none need be built. */
    private static Path images() {
        try {
            Path folder = Files.createDirectories(Path.of("target/cuda-shim/images")).toAbsolutePath();
            for (String name : new String[] {"panoptim.fatbin", "staged.fatbin", "columns.fatbin", "products.fatbin", "rows.fatbin", "factored.fatbin",
                    "control.fatbin"}) {
                Files.write(folder.resolve(name), new byte[] {0x50, (byte) 0xed, 0x55, (byte) 0xba});
            }
            return folder;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
