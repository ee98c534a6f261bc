package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Extras;
import io.panoptim.engine.HostControl;
import org.jspecify.annotations.Nullable;

/**
 * What rides along with a step, one element at a time: the oracle of {@code native/src/stage.h}.
 *
 * @param extras the parts
 * @param control where an overflow, the inverse scale and the clip coefficient stand
 */
record Riding(Extras extras, @Nullable HostControl control) {
    static final Riding NOTHING = new Riding(Extras.NONE, null);

    boolean has(Extras.Part part) {
        return extras.has(part);
    }

    boolean skips() {
        return control != null && has(Extras.Part.SKIP) && control.foundInf();
    }

    /** A gradient as the rule sees it. */
    double scaled(Arithmetic arithmetic, double gradient) {
        double result = gradient;
        if (control != null && has(Extras.Part.UNSCALE)) {
            result = arithmetic.multiply(result, control.unscale());
        }
        if (control != null && has(Extras.Part.CLIP)) {
            result = arithmetic.multiply(result, control.clip(arithmetic));
        }
        return result;
    }

    /** A state as it is stored; what is flushed keeps its sign, as processors do it. */
    double flushed(Arithmetic arithmetic, double state) {
        double smallest = arithmetic == Arithmetic.FLOAT64 ? Double.MIN_NORMAL : Float.MIN_NORMAL;
        return has(Extras.Part.FLUSH_SUBNORMAL) && Math.abs(state) < smallest ? 0 * state : state;
    }
}
