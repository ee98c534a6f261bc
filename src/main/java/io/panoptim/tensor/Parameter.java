package io.panoptim.tensor;

import io.panoptim.PanoptimException;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A tensor to be optimized and its gradient, dense or sparse, which may come, go and move between steps.
 *
 * <p>It may be a slice of a larger one, of which this process has only a part ({@link #shard}), or which is stepped part by part as gradients
 * arrive ({@link #slice}). Elementwise optimizers then do to the parts, bit for bit, what they would do to the whole.
 */
public final class Parameter {
    private static final AtomicLong GRADIENT_CHANGES = new AtomicLong();

    private final @Nullable String name;
    private final Tensor value;
    private final @Nullable Parameter whole;
    private final long origin;
    private final long wholeElements;
    private @Nullable Tensor gradient;
    private @Nullable SparseGradient sparseGradient;

    private Parameter(@Nullable String name, Tensor value, @Nullable Parameter whole, long origin, long wholeElements) {
        if (!value.dtype().isFloatingPoint()) {
            throw PanoptimException.invalid("Parameter", "only floating-point tensors can be optimized, not " + value);
        }
        if (origin < 0 || origin > wholeElements - value.elements()) {
            throw PanoptimException.invalid("Parameter", value + " from element " + origin + " on is not within a tensor of " + wholeElements
                    + " elements");
        }
        this.name = name;
        this.value = value;
        this.whole = whole;
        this.origin = origin;
        this.wholeElements = wholeElements;
    }

    /** A parameter without a name. */
    public static Parameter of(Tensor value) {
        return new Parameter(null, value, null, 0, value.elements());
    }

    /** A named parameter: the name appears in messages and state dictionaries. */
    public static Parameter of(String name, Tensor value) {
        return new Parameter(name, value, null, 0, value.elements());
    }

    /**
     * A slice of a tensor of which the rest is elsewhere, as when an optimizer's work is divided among processes. Each has a slice of every
     * tensor, in the same order: random rounding goes by the tensors' numbers and the elements' places in them.
     *
     * @param value the slice
     * @param origin the number, in memory order, that its first element has in the whole tensor
     * @param wholeElements how many elements that has
     */
    public static Parameter shard(String name, Tensor value, long origin, long wholeElements) {
        return new Parameter(name, value, null, origin, wholeElements);
    }

    /**
     * Some of this parameter's elements as a parameter of their own, of one dimension, with a gradient of their own: to be given to an
     * optimizer in place of this one, with the other slices. A step updates those that have a gradient then, each with a step count of its
     * own; only stochastic rounding goes by the optimizer's count, and so has other noise if slices are stepped one after the other.
     *
     * <p>Quantised states are cut at multiples of 256 elements, gradients that are to be measured at multiples of 1024.
     *
     * @param begin of elements in memory order
     */
    public Parameter slice(long begin, long end) {
        String own = (name == null ? "parameter" : name) + "[" + begin + ", " + end + ")";
        if (begin < 0 || begin > end || end > value.elements()) {
            throw PanoptimException.invalid("Parameter.slice", own + " is not within " + this);
        }
        return new Parameter(own, value.slice(begin, end - begin), whole(), origin + begin, wholeElements);
    }

    /** What this is a slice of, if that is a parameter of this process; otherwise itself. */
    public Parameter whole() {
        return whole == null ? this : whole;
    }

    /** The number of its first element in the tensor that it is a slice of; 0 for a whole one. */
    public long origin() {
        return origin;
    }

    /** How many elements that tensor has. */
    public long wholeElements() {
        return wholeElements;
    }

    /** Whether there is more of its tensor than itself. */
    public boolean isSlice() {
        return value.elements() != wholeElements;
    }

    public @Nullable String name() {
        return name;
    }

    public Tensor value() {
        return value;
    }

    /**
     * How often gradients of any parameters have come, gone or been replaced by other tensors: while this stays the same, none has to
     * be looked up again.
     */
    public static long gradientChanges() {
        return GRADIENT_CHANGES.get();
    }

    /** The dense gradient, or null. Without any gradient a step skips this parameter, its state and its step count. */
    public @Nullable Tensor gradient() {
        return gradient;
    }

    /**
     * Sets a dense gradient in place of the one before or, with null, removes it, also when it is sparse.
     *
     * @return this
     * @throws PanoptimException when its shape, layout, type or device is not the value's; but half types and float32 can be mixed
     */
    public Parameter gradient(@Nullable Tensor newGradient) {
        if (newGradient != null) {
            check(newGradient);
        }
        return replace(newGradient, null);
    }

    /** The sparse gradient, or null. */
    public @Nullable SparseGradient sparseGradient() {
        return sparseGradient;
    }

    /**
     * Sets a sparse gradient in place of the one before or, with null, removes it, also when it is dense. Not every optimizer takes
     * one.
     *
     * @return this
     * @throws PanoptimException when its rows are not rows of the value, whose first dimension is the indexed one
     */
    public Parameter sparseGradient(@Nullable SparseGradient newGradient) {
        if (newGradient != null) {
            newGradient.checkFits(call("sparseGradient"), value);
        }
        return replace(null, newGradient);
    }

    private Parameter replace(@Nullable Tensor dense, @Nullable SparseGradient sparse) {
        if (dense != gradient || sparse != sparseGradient) {
            gradient = dense;
            sparseGradient = sparse;
            GRADIENT_CHANGES.incrementAndGet();
        }
        return this;
    }

    private String call(String setter) {
        return "Parameter." + setter + (name == null ? "" : " '" + name + "'");
    }

    private void check(Tensor newGradient) {
        String call = call("gradient");
        if (!newGradient.device().equals(value.device())) {
            throw PanoptimException.invalid(call, "the gradient lies on " + newGradient.device() + ", the value on "
                    + value.device() + ": they must share a device");
        }
        if (!newGradient.dtype().isFloatingPoint() || newGradient.dtype().computeType() != value.dtype().computeType()) {
            throw PanoptimException.invalid(call, "the gradient is " + newGradient.dtype() + ", the value "
                    + value.dtype() + ": half types and float32 can be mixed, other types must be equal");
        }
        if (!newGradient.sameShape(value)) {
            throw PanoptimException.invalid(call, "the gradient's shape " + newGradient + " is not the value's " + value);
        }
        if (!newGradient.sameLayout(value)) {
            throw PanoptimException.invalid(call, "the gradient's strides are not the value's: a step walks both in memory "
                    + "order, so they must share a layout");
        }
    }

    @Override
    public String toString() {
        return (name == null ? "parameter " : "parameter '" + name + "' ") + value;
    }
}
