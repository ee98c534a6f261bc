package io.panoptim.tensor;

import io.panoptim.PanoptimException;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/** A tensor to be optimized and its gradient, dense or sparse, which may come, go and move between steps. */
public final class Parameter {
    private static final AtomicLong GRADIENT_CHANGES = new AtomicLong();

    private final @Nullable String name;
    private final Tensor value;
    private @Nullable Tensor gradient;
    private @Nullable SparseGradient sparseGradient;

    private Parameter(@Nullable String name, Tensor value) {
        if (!value.dtype().isFloatingPoint()) {
            throw PanoptimException.invalid("Parameter", "only floating-point tensors can be optimized, not " + value);
        }
        this.name = name;
        this.value = value;
    }

    /** A parameter without a name. */
    public static Parameter of(Tensor value) {
        return new Parameter(null, value);
    }

    /** A named parameter: the name appears in messages and state dictionaries. */
    public static Parameter of(String name, Tensor value) {
        return new Parameter(name, value);
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
