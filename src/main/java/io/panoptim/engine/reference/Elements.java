package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Column;
import io.panoptim.engine.Table;
import io.panoptim.tensor.Tensor;
import java.util.Objects;

/** The columns of one tensor, element by element, in its compute type. */
final class Elements {
    private final Tensor value;
    private final Tensor gradient;
    private final Tensor[] states;
    private final long begin;
    private final long end;
    private final Arithmetic arithmetic;
    private final double keep;

    /**
     * Some of a tensor's elements.
     *
     * @param keep what is left of each value before the rule sees it, not rounded
     */
    Elements(Table table, int tensor, long begin, long end, double keep) {
        this.arithmetic = Arithmetic.of(table.entry(tensor).value().dtype().computeType());
        this.keep = arithmetic.round(keep);
        value = Objects.requireNonNull(table.tensor(tensor, Column.VALUE));
        gradient = Objects.requireNonNull(table.tensor(tensor, Column.GRADIENT));
        states = new Tensor[table.slots(tensor)];
        for (int slot = 0; slot < states.length; slot++) {
            states[slot] = Objects.requireNonNull(table.tensor(tensor, Column.STATE + slot));
        }
        this.begin = begin;
        this.end = end;
    }

    /** The whole of some tensors of one length. */
    Elements(Arithmetic arithmetic, Tensor value, Tensor gradient, Tensor[] states) {
        this.arithmetic = arithmetic;
        keep = 1;
        this.value = value;
        this.gradient = gradient;
        this.states = states;
        begin = 0;
        end = value.elements();
    }

    long begin() {
        return begin;
    }

    long end() {
        return end;
    }

    boolean hasState(int slot) {
        return slot < states.length;
    }

    double value(long i) {
        return arithmetic.multiply(value.get(i), keep);
    }

    void value(long i, double newValue) {
        value.set(i, newValue);
    }

    /** For a rule that leaves the values as they are: what is left of each before it sees them stays. */
    void keep() {
        for (long i = begin(); i < end(); i++) {
            value(i, value(i));
        }
    }

    double gradient(long i) {
        return gradient.get(i);
    }

    double state(int slot, long i) {
        return states[slot].get(i);
    }

    void state(int slot, long i, double newState) {
        states[slot].set(i, newState);
    }

    void zeroGradient() {
        for (long i = begin; i < end; i++) {
            gradient.set(i, 0);
        }
    }
}
