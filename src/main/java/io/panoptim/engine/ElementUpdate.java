package io.panoptim.engine;

/** A rule's arithmetic for one element, in plain Java: what the reference engine runs. */
@FunctionalInterface
public interface ElementUpdate {
    /**
     * Updates one element's value and states. To have the bits of a compiled rule, do every operation of its in the
     * arithmetic that is given, and nothing else.
     *
     * @param arithmetic that of the compute type: float32, also for half types, or float64
     * @param element what the rule reads and writes
     */
    void update(Arithmetic arithmetic, Element element);
}
