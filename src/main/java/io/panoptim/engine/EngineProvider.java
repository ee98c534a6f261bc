package io.panoptim.engine;

import io.panoptim.tensor.Device;
import java.util.Optional;

/** Finds one kind of engine; listed in {@code META-INF/services}. */
public interface EngineProvider {
    /** The engine's name. */
    String name();

    /** Whether its engines work on this device's memory. */
    boolean serves(Device device);

    /** The device that its engine works on where none is named. */
    default Device device() {
        return Device.cpu();
    }

    /** Why no engine of this kind can be had here, listing every place tried; empty when one can. */
    Optional<String> unavailable();

    /**
     * Opens an engine for the life of the process.
     *
     * @throws io.panoptim.PanoptimException with the reason when it cannot be had
     */
    Engine open(Device device);
}
