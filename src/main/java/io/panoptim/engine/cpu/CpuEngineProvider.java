package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.EngineProvider;
import io.panoptim.tensor.Device;
import java.util.Optional;

/** Finds the CPU engine's library once. */
public final class CpuEngineProvider implements EngineProvider {
    @Override
    public String name() {
        return CpuEngine.NAME;
    }

    @Override
    public boolean serves(Device device) {
        return device.kind() == Device.Kind.CPU;
    }

    @Override
    public Optional<String> unavailable() {
        CpuOptions options = CpuOptions.defaults();
        try {
            CpuLibrary.best(options.isas());
            return Optional.empty();
        } catch (PanoptimException reason) {
            return Optional.of(reason.getMessage());
        }
    }

    @Override
    public Engine open(Device device) {
        return CpuEngine.open(CpuOptions.defaults());
    }
}
