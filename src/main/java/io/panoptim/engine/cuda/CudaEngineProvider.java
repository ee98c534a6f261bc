package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.EngineProvider;
import io.panoptim.tensor.Device;
import java.util.Optional;

/** Finds NVIDIA GPUs. */
public final class CudaEngineProvider implements EngineProvider {
    @Override
    public String name() {
        return CudaEngine.NAME;
    }

    @Override
    public boolean serves(Device device) {
        return device.kind() == Device.Kind.CUDA;
    }

    @Override
    public Device device() {
        return Device.cuda(0);
    }

    @Override
    public Optional<String> unavailable() {
        Optional<String> driver = CudaDriver.unavailable();
        if (driver.isPresent()) {
            return driver;
        }
        try {
            return CudaDriver.gpus().isEmpty() ? Optional.of("the driver finds no GPU") : Optional.empty();
        } catch (PanoptimException reason) {
            return Optional.of(String.valueOf(reason.getMessage()));
        }
    }

    @Override
    public Engine open(Device device) {
        return CudaEngine.open(device.index());
    }
}
