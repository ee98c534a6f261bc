package io.panoptim.engine.reference;

import io.panoptim.ffi.panoptim_h;
import java.util.Arrays;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** For each class the sums of the squares of gradients, of the values' changes and of values. */
final class Statistics {
    private static final int SUMS = panoptim_h.PANOPTIM_STATISTIC_SUMS();

    private final LeafSum[] sums;

    Statistics(int classes) {
        sums = IntStream.range(0, classes).mapToObj(i -> new LeafSum(SUMS)).toArray(LeafSum[]::new);
    }

    /** Adds a tensor's elements, which have been updated. */
    void add(int scalarClass, Elements elements, double[] before) {
        for (long i = elements.begin(); i < elements.end(); i++) {
            double gradient = elements.gradient(i);
            double value = elements.stored(i);
            double change = value - before[(int) (i - elements.begin())];
            sums[scalarClass].add(i - elements.begin(), new double[] {gradient * gradient, change * change, value * value});
        }
        sums[scalarClass].endLeaf();
    }

    double[] sums() {
        return Stream.of(sums).flatMapToDouble(sum -> Arrays.stream(sum.sums())).toArray();
    }
}
