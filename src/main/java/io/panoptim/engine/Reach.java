package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;

/**
 * Which memory an engine can work on.
 *
 * @param heap whether on the Java heap, too
 */
record Reach(Engine engine, boolean heap) {
    /** Refuses a device that is not the engine's. */
    void checkDevice(String call, Object label, Device place) {
        if (!place.equals(engine.device())) {
            throw PanoptimException.invalid(call, label + " lies on " + place + ", but the " + engine.name() + " engine works on "
                    + engine.device() + ": copy it there, or choose that device's engine");
        }
    }

    /** Refuses what on the engine's device it cannot reach, and elements that are not aligned. */
    void checkAddress(String call, Object label, Tensor tensor) {
        boolean onHeap = tensor.device().kind() == Device.Kind.CPU && !tensor.segment().isNative();
        if (onHeap && !heap) {
            throw PanoptimException.invalid(call, label + " lies on the Java heap, where the " + engine.name() + " engine cannot reach "
                    + "it: allocate it from an Arena, or use the reference engine");
        }
        engine.checkAddress(call, label, tensor);
        if (!onHeap && tensor.address() % tensor.dtype().bytes() != 0) {
            throw PanoptimException.invalid(call, label + " begins at an address that is not a multiple of its element size, "
                    + tensor.dtype().bytes() + " bytes: copy it to aligned memory");
        }
    }
}
