package io.panoptim.engine;

/**
 * The order in which a device does its work.
 *
 * @param handle the device's own handle; 0 for the engine's default
 */
public record Stream(long handle) {
    /** The engine's default: on the CPU a call returns when its work is done. */
    public static final Stream DEFAULT = new Stream(0);
}
