package io.panoptim.engine.reference;

import io.panoptim.engine.Column;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A tensor's values as the rule knows them, in whatever they are stored: the oracle of {@code kernels/master.h}. */
final class Masters {
    private final Tensor value;
    private final @Nullable Tensor master;
    private final @Nullable Tensor compensation;
    private final @Nullable Noise noise;
    private final long origin;

    /** @param noise for values that are rounded stochastically, otherwise null */
    Masters(Table table, int tensor, @Nullable Long noise) {
        TensorEntry entry = table.entry(tensor);
        value = Objects.requireNonNull(table.tensor(tensor, Column.VALUE));
        master = table.tensor(tensor, Column.MASTER);
        compensation = table.tensor(tensor, Column.COMPENSATION);
        boolean stochastic = noise != null && value.dtype() == DType.BFLOAT16 && master == null && compensation == null;
        this.noise = stochastic ? new Noise(noise, entry.id(), Column.VALUE) : null;
        origin = entry.origin();
    }

    /** Values without anything beside them. */
    Masters(Tensor value) {
        this.value = value;
        master = null;
        compensation = null;
        noise = null;
        origin = 0;
    }

    double get(long i) {
        if (compensation != null) {
            return (float) (value.get(i) + compensation.get(i));
        }
        if (master == null) {
            return value.get(i);
        }
        return master.dtype() == DType.INT16 ? joined(i, master) : master.get(i);
    }

    void set(long i, double x) {
        if (master != null && master.dtype() == DType.INT16) {
            split(i, master, (float) x);
            return;
        }
        value.set(i, noise == null ? x : noise.rounded(x, origin + i));
        if (master != null) {
            master.set(i, x);
        }
        if (compensation != null) {
            float lost = (float) (x - value.get(i));
            compensation.set(i, Float.isFinite(lost) ? lost : 0);
        }
    }

    private double joined(long i, Tensor remainder) {
        int low = (int) remainder.get(i);
        int upper = Float.floatToRawIntBits((float) value.get(i)) - (low < 0 ? 0x10000 : 0);
        return Float.intBitsToFloat(upper | low & 0xffff);
    }

    /** The value is rounded to the nearer bfloat16, halves away from zero. */
    private void split(long i, Tensor remainder, float x) {
        int bits = Float.floatToIntBits(x); // which makes all NaNs one
        value.set(i, Float.intBitsToFloat(bits + 0x8000 & 0xffff0000));
        remainder.set(i, (short) bits);
    }
}
