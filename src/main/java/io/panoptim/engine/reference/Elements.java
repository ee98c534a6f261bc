package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Column;
import io.panoptim.engine.Table;
import io.panoptim.tensor.Tensor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** The columns of one tensor, element by element, in its compute type. */
final class Elements {
    private final Tensor value;
    private final Tensor gradient;
    private final Tensor[] states;
    private final long begin;
    private final long end;
    private final Arithmetic arithmetic;
    private final double keep;
    private final @Nullable Tensor master;
    private final Riding riding;

    /**
     * Some of a tensor's elements.
     *
     * @param keep what is left of each value before the rule sees it, not rounded
     */
    Elements(Table table, int tensor, long begin, long end, double keep, Riding riding) {
        this.arithmetic = Arithmetic.of(table.entry(tensor).value().dtype().computeType());
        this.keep = arithmetic.round(keep);
        this.riding = riding;
        value = Objects.requireNonNull(table.tensor(tensor, Column.VALUE));
        master = table.tensor(tensor, Column.MASTER);
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
        master = null;
        riding = Riding.NOTHING;
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
        return arithmetic.multiply(stored(i), keep);
    }

    /** A value as it is now. */
    double stored(long i) {
        return (master == null ? value : master).get(i);
    }

    void value(long i, double newValue) {
        if (master != null) {
            master.set(i, newValue);
        }
        value.set(i, newValue);
    }

    /** All values as they are now. */
    double[] values() {
        double[] values = new double[Math.toIntExact(end - begin)];
        for (long i = begin; i < end; i++) {
            values[(int) (i - begin)] = stored(i);
        }
        return values;
    }

    /** For a rule that leaves the values as they are: what is left of each before it sees them stays. */
    void keep() {
        for (long i = begin(); i < end(); i++) {
            value(i, value(i));
        }
    }

    double gradient(long i) {
        return riding.scaled(arithmetic, gradient.get(i));
    }

    double state(int slot, long i) {
        return states[slot].get(i);
    }

    void state(int slot, long i, double newState) {
        states[slot].set(i, riding.flushed(arithmetic, newState));
    }

    /** For states that the rule has left as they are, too. */
    void flushStates() {
        for (int slot = 0; slot < states.length; slot++) {
            for (long i = begin; i < end; i++) {
                state(slot, i, state(slot, i));
            }
        }
    }

    void writeGradient() {
        for (long i = begin; i < end; i++) {
            gradient.set(i, gradient(i));
        }
    }

    void zeroGradient() {
        for (long i = begin; i < end; i++) {
            gradient.set(i, 0);
        }
    }
}
