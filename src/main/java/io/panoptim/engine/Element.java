package io.panoptim.engine;

/**
 * One element of a tensor as a rule sees it, with the row that holds for it. All numbers are of the compute type, kept as
 * doubles; what is set is rounded to it. Memory is written once the update returns, with one more rounding for half types.
 * Names that the rule does not have are refused.
 */
public interface Element {
    /** The value, or what it has been set to. */
    double value();

    void value(double newValue);

    double gradient();

    /** Whether the options ask for an optional state. */
    boolean hasState(String key);

    /** A state, or what it has been set to. */
    double state(String key);

    void state(String key, double newState);

    /** One of the row's scalars, rounded to the compute type. */
    double scalar(String name);

    /** One of the row's flags. */
    boolean flag(String name);
}
