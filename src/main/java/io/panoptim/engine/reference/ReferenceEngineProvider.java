package io.panoptim.engine.reference;

import io.panoptim.engine.Engine;
import io.panoptim.engine.EngineProvider;
import io.panoptim.tensor.Device;
import java.util.Optional;

/** The reference engine can always be had. */
public final class ReferenceEngineProvider implements EngineProvider {
    @Override
    public String name() {
        return ReferenceEngine.NAME;
    }

    @Override
    public boolean serves(Device device) {
        return device.kind() == Device.Kind.CPU;
    }

    @Override
    public Optional<String> unavailable() {
        return Optional.empty();
    }

    @Override
    public Engine open(Device device) {
        return new ReferenceEngine();
    }
}
