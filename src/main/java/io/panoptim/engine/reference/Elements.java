package io.panoptim.engine.reference;

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

    Elements(Table table, int tensor) {
        this(table, tensor, table.entry(tensor).begin(), table.entry(tensor).end());
    }

    /** Some of a tensor's elements. */
    Elements(Table table, int tensor, long begin, long end) {
        value = Objects.requireNonNull(table.tensor(tensor, Column.VALUE));
        gradient = Objects.requireNonNull(table.tensor(tensor, Column.GRADIENT));
        states = new Tensor[table.entry(tensor).states().size() - table.rule().sharedStates().size()];
        for (int slot = 0; slot < states.length; slot++) {
            states[slot] = Objects.requireNonNull(table.tensor(tensor, Column.STATE + slot));
        }
        this.begin = begin;
        this.end = end;
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
        return value.get(i);
    }

    void value(long i, double newValue) {
        value.set(i, newValue);
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
