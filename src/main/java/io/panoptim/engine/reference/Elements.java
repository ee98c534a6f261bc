package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Column;
import io.panoptim.engine.Extras;
import io.panoptim.engine.StateCode;
import io.panoptim.engine.Table;
import io.panoptim.tensor.Tensor;
import java.util.Objects;

/** The columns of one tensor, element by element, in its compute type. */
final class Elements {
    private final Tensor gradient;
    private final Tensor[] states;
    private final long begin;
    private final long end;
    private final Arithmetic arithmetic;
    private final double keep;
    private final Masters masters;
    private final Tensor[] scales;
    private final StateCode[] codes;
    /** Of quantised states, the numbers. */
    private final float[][] decoded;
    private final Riding riding;

    /**
     * Some of a tensor's elements.
     *
     * @param keep what is left of each value before the rule sees it, not rounded
     * @param noise of the step
     */
    Elements(Table table, int tensor, long begin, long end, double keep, long noise, Riding riding) {
        this.arithmetic = Arithmetic.of(table.entry(tensor).value().dtype().computeType());
        this.keep = arithmetic.round(keep);
        this.riding = riding;
        masters = new Masters(table, tensor, riding.has(Extras.Part.STOCHASTIC) ? noise : null);
        gradient = Objects.requireNonNull(table.tensor(tensor, Column.GRADIENT));
        states = new Tensor[table.slots(tensor)];
        for (int slot = 0; slot < states.length; slot++) {
            states[slot] = Objects.requireNonNull(table.tensor(tensor, Column.STATE + slot));
        }
        this.begin = begin;
        this.end = end;
        codes = new StateCode[states.length];
        scales = new Tensor[states.length];
        decoded = new float[states.length][];
        table.entry(tensor).codes().forEach((slot, code) -> {
            codes[slot] = code;
            scales[slot] = Objects.requireNonNull(table.tensor(tensor, Column.SCALE + slot));
            decoded[slot] = code.dequantize(states[slot], scales[slot], begin, Math.toIntExact(end - begin));
        });
    }

    /** The whole of some tensors of one length. */
    Elements(Arithmetic arithmetic, Tensor value, Tensor gradient, Tensor[] states) {
        this.arithmetic = arithmetic;
        keep = 1;
        masters = new Masters(value);
        codes = new StateCode[states.length];
        scales = new Tensor[states.length];
        decoded = new float[states.length][];
        riding = Riding.NOTHING;
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
        return masters.get(i);
    }

    void value(long i, double newValue) {
        masters.set(i, newValue);
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
        return decoded[slot] == null ? states[slot].get(i) : decoded[slot][(int) (i - begin)];
    }

    void state(int slot, long i, double newState) {
        if (decoded[slot] == null) {
            states[slot].set(i, riding.flushed(arithmetic, newState));
        } else {
            decoded[slot][(int) (i - begin)] = (float) riding.flushed(arithmetic, newState);
        }
    }

    /** What is left to do when a rule has been through all elements: states that it has left as they are are flushed, too. */
    void store() {
        for (int slot = 0; slot < states.length; slot++) {
            for (long i = begin; i < end && riding.has(Extras.Part.FLUSH_SUBNORMAL); i++) {
                state(slot, i, state(slot, i));
            }
            if (decoded[slot] != null) {
                codes[slot].quantize(decoded[slot], states[slot], scales[slot], begin);
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
