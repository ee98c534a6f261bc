package io.panoptim.engine;

import io.panoptim.tensor.Tensor;

/**
 * What optimizers that share a loss scale share on a device ({@code panoptim_control}): the scale, and what was measured of the
 * gradients. All but {@link #latest} and {@link #read} is ordered on a stream, and waits for nothing.
 */
public interface Control extends AutoCloseable {
    /**
     * What a block holds.
     *
     * @param scale of the loss
     * @param inverseScale rounded to float32
     * @param foundInf whether a gradient was infinite or NaN
     * @param norm of the gradients, before clipping
     * @param clip the coefficient in float32
     * @param growthTracker steps without overflow since the scale last changed
     * @param hysteresisTracker overflows that it takes until the scale shrinks
     * @param applied how many measured steps were taken
     * @param skipped how many were not
     */
    record Values(float scale, float inverseScale, boolean foundInf, double norm, float clip, int growthTracker,
                  int hysteresisTracker, long applied, long skipped) {}

    /** Whether a step that skips overflows takes place, as the device finds out in its turn. */
    interface Outcome {
        /** That of a step that nothing keeps from taking place. */
        Outcome TAKEN = of(false);

        /** One that is known from the beginning. */
        static Outcome of(boolean skipped) {
            return new Outcome() {
                @Override
                public boolean isKnown() {
                    return true;
                }

                @Override
                public boolean skipped() {
                    return skipped;
                }
            };
        }

        /** Whether {@link #skipped} does not wait. */
        boolean isKnown();

        /** Whether the step is left out; waits until the device has got that far. */
        boolean skipped();
    }

    /** What becomes of a step that is ordered now, after all that has been ordered so far; does not wait for the device. */
    Outcome outcome();

    /** Where the scale lies on the device, one float32, so that the loss can be multiplied there; valid until the block is closed. */
    Tensor scale();

    /** The most recent values that have arrived, without waiting for the device. */
    Values latest();

    /** Those after all that has been ordered so far: waits for the device. */
    Values read();

    /** Whether an overflow has been found after all that has been ordered so far: waits for the device. */
    boolean foundInf();

    /** Sets the scale, with its trackers. */
    void scale(float scale, int growthTracker, int hysteresisTracker, Stream stream);

    /** Sets whether an overflow was found; a NaN is one. */
    void foundInf(float foundInf, Stream stream);

    /** Takes over another block's scale, of the same device. */
    void scaleOf(Control other, Stream stream);

    /** Takes what another block has found for found here, too. */
    void merge(Control other, Stream stream);

    /** Lets the scale follow what has been found, which then counts as not found. */
    void update(Scaling scaling, Stream stream);

    @Override
    void close();
}
