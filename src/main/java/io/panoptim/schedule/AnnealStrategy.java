package io.panoptim.schedule;

import java.util.Locale;

/** How a learning rate goes from one value to another. */
public enum AnnealStrategy {
    /** Along half a cosine. */
    COS,
    /** Along a straight line. */
    LINEAR;

    /** torch's word. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
