package io.panoptim.tools.train;

import java.util.Arrays;

/** What happened in each epoch: loss and learning rate before its step, and the time that the step and all of it took. */
final class History {
    private final double[] losses;
    private final double[] lrs;
    private final long[] stepNanos;
    private final long[] epochNanos;

    History(int epochs) {
        losses = new double[epochs];
        lrs = new double[epochs];
        stepNanos = new long[epochs];
        epochNanos = new long[epochs];
    }

    void record(int epoch, double loss, double lr, long stepTime, long epochTime) {
        losses[epoch] = loss;
        lrs[epoch] = lr;
        stepNanos[epoch] = stepTime;
        epochNanos[epoch] = epochTime;
    }

    int epochs() {
        return losses.length;
    }

    double[] losses() {
        return losses;
    }

    double[] lrs() {
        return lrs;
    }

    /** The median, in nanoseconds. */
    double stepTime() {
        return median(stepNanos);
    }

    /** The median, in nanoseconds. */
    double epochTime() {
        return median(epochNanos);
    }

    /** A line for each epoch; reading a number back gives the same double. */
    String csv() {
        StringBuilder text = new StringBuilder("epoch,loss,lr\n");
        for (int i = 0; i < epochs(); i++) {
            text.append(i + 1).append(',').append(losses[i]).append(',').append(lrs[i]).append('\n');
        }
        return text.toString();
    }

    private static double median(long[] times) {
        long[] sorted = times.clone();
        Arrays.sort(sorted);
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2.0;
    }
}
