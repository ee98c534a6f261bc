package io.panoptim.schedule;

/** Epochs at which something happens, in ascending order. */
final class Milestones {
    private Milestones() {}

    /** How many lie at or before an epoch: Python's {@code bisect_right}. */
    static int upTo(long[] milestones, long epoch) {
        int low = 0;
        int high = milestones.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (epoch < milestones[middle]) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return low;
    }
}
