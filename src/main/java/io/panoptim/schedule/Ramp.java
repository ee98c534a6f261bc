package io.panoptim.schedule;

import io.panoptim.engine.CMath;
import java.util.Locale;

/** The shape of a way up from 0 to 1, as warm-ups take it, or down. */
public enum Ramp {
    /** {@code t}; down, {@code 1 - t}. */
    LINEAR {
        @Override
        double rise(double t) {
            return t;
        }

        @Override
        double fall(double t, double cycles) {
            return 1.0 - t;
        }
    },
    /** Half a cosine, {@code (1 - cos(pi t)) / 2}; down, {@code (1 + cos(pi t)) / 2}. */
    COSINE {
        @Override
        double rise(double t) {
            return 0.5 * (1.0 - CMath.cos(Math.PI * t));
        }

        @Override
        double fall(double t, double cycles) {
            return 0.5 * (1.0 + CMath.cos(Math.PI * cycles * 2.0 * t));
        }
    },
    /** Slowly first, {@code 1 - sqrt(1 - t)}; down, quickly first, {@code 1 - sqrt(t)}. */
    ONE_MINUS_SQRT {
        @Override
        double rise(double t) {
            return 1.0 - Math.sqrt(1.0 - t);
        }

        @Override
        double fall(double t, double cycles) {
            return 1.0 - Math.sqrt(t);
        }
    };

    /** The way up. */
    abstract double rise(double t);

    /** The way down; only a cosine has more than half a cycle. */
    abstract double fall(double t, double cycles);

    /** The word of transformers. */
    @Override
    public String toString() {
        return this == ONE_MINUS_SQRT ? "1-sqrt" : name().toLowerCase(Locale.ROOT);
    }
}
