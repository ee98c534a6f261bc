package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Control;
import io.panoptim.engine.Extras;
import org.jspecify.annotations.Nullable;

/**
 * What an optimizer's step is part of: what was measured before it, and what rides along with it.
 *
 * @param control what was measured, or null
 * @param extras what is done in the same pass
 * @param averageWeight of the values in their moving averages, {@code 1 - decay}
 * @param noise what stochastic rounding starts from: another number in every step
 */
public record StepContext(@Nullable Control control, Extras extras, double averageWeight, long noise) {
    /** A step by itself. */
    public static final StepContext ALONE = new StepContext(null, Extras.NONE, 0, 0);

    public StepContext {
        if (control == null && extras.isControlled()) {
            throw PanoptimException.invalid("StepContext", "unscaling, clipping and skipping need the control block that was measured into");
        }
    }

    /**
     * Whether the step takes place, by which step counts and all that follows from them go on or not. A device skips it by itself, and the
     * CPU has time to learn of it until the next one, whose rows depend on how many have been taken.
     */
    Control.Outcome outcome() {
        return control != null && extras.has(Extras.Part.SKIP) ? control.outcome() : Control.Outcome.TAKEN;
    }

    /** By which gradients are multiplied before a rule sees them. */
    double gradientFactor() {
        if (control == null || !extras.has(Extras.Part.UNSCALE) && !extras.has(Extras.Part.CLIP)) {
            return 1;
        }
        Control.Values values = control.read();
        return (extras.has(Extras.Part.UNSCALE) ? values.inverseScale() : 1.0) * (extras.has(Extras.Part.CLIP) ? values.clip() : 1.0);
    }
}
