package io.panoptim.engine.cuda;

import io.panoptim.tensor.Device;
import java.util.Optional;

/** Finds the first NVIDIA GPU. */
public final class CudaDeviceFinder implements Device.Finder {
    @Override
    public Optional<Device> find() {
        return new CudaEngineProvider().unavailable().isEmpty() ? Optional.of(Device.cuda(0)) : Optional.empty();
    }
}
