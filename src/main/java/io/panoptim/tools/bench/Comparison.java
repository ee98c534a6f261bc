package io.panoptim.tools.bench;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;

/**
 * Times contenders on one workload in turn, so that a machine whose memory grows faster or slower meanwhile does so for all. Each takes
 * the same number of steps, and what they have computed is compared at the end.
 */
final class Comparison implements AutoCloseable {
    private static final int WARM_UP = 2;
    /** What a round of the fastest contender takes, about. */
    private static final double ROUND_SECONDS = 0.02;
    /** What a round of the slowest one may take. */
    private static final double LONGEST_ROUND_SECONDS = 0.3;
    private static final int MOST_STEPS = 1 << 14;
    /** Long enough for another library's threads to stop spinning. */
    private static final long PAUSE_NANOS = 20_000_000;
    /** By which checksums may differ, relative to their size: sums of rounding errors. */
    private static final double TOLERANCE = 1e-4;

    /**
     * What was measured of one contender.
     *
     * @param seconds of one step, for each round
     */
    record Times(String name, String description, double[] seconds) {
        double median() {
            return sorted()[seconds.length / 2];
        }

        double fastest() {
            return sorted()[0];
        }

        private double[] sorted() {
            double[] sorted = seconds.clone();
            Arrays.sort(sorted);
            return sorted;
        }

        /** The median, over the rounds, of how many times as long as another contender's step this one's took. */
        double ratioTo(Times other) {
            double[] ratios = IntStream.range(0, seconds.length).mapToDouble(round -> seconds[round] / other.seconds[round]).sorted()
                    .toArray();
            return ratios[ratios.length / 2];
        }
    }

    private final List<String> names = new ArrayList<>();
    private final List<Contender> contenders = new ArrayList<>();

    Comparison(Workload workload, List<ContenderProvider> providers, Setting setting) {
        try {
            for (ContenderProvider provider : providers) {
                names.add(provider.name());
                contenders.add(provider.open(workload, setting));
            }
        } catch (RuntimeException | Error failed) {
            close();
            throw failed;
        }
    }

    /**
     * Takes turns.
     *
     * @param rounds how many are timed
     * @param after called after each round, warming up included
     */
    List<Times> run(int rounds, Runnable after) {
        int steps = stepsOfARound();
        double[][] seconds = new double[contenders.size()][rounds];
        for (int round = -WARM_UP; round < rounds; round++) {
            for (int turn = 0; turn < contenders.size(); turn++) {
                int contender = Math.floorMod(turn + round, contenders.size()); // each is the first one now and then
                LockSupport.parkNanos(PAUSE_NANOS);
                double taken = contenders.get(contender).steps(steps) / steps;
                if (round >= 0) {
                    seconds[contender][round] = taken;
                }
            }
            after.run();
        }
        compareResults();
        return IntStream.range(0, contenders.size())
                .mapToObj(i -> new Times(names.get(i), contenders.get(i).description(), seconds[i])).toList();
    }

    /**
     * So many that the fastest contender's clock is fine enough, unless the slowest one's patience ends before. On the way Java's
     * compiler sees the steps often enough.
     */
    private int stepsOfARound() {
        contenders.forEach(contender -> contender.steps(1)); // the first one allocates states, and loads what it needs
        int steps = 1;
        while (true) {
            double fastest = Double.POSITIVE_INFINITY;
            double slowest = 0;
            for (Contender contender : contenders) {
                double taken = contender.steps(steps);
                fastest = Math.min(fastest, taken);
                slowest = Math.max(slowest, taken);
            }
            if (steps == MOST_STEPS || fastest >= ROUND_SECONDS || slowest >= LONGEST_ROUND_SECONDS) {
                return steps;
            }
            steps *= 2;
        }
    }

    private void compareResults() {
        double expected = contenders.getFirst().checksum();
        for (int i = 1; i < contenders.size(); i++) {
            double sum = contenders.get(i).checksum();
            if (Math.abs(sum - expected) > TOLERANCE * Math.abs(expected)) {
                throw new PanoptimException(Code.FAULT, "bench", contenders.get(i).description() + " has computed something else than "
                        + contenders.getFirst().description() + ": the absolute values add up to " + sum + " and " + expected);
            }
        }
    }

    /** How many rounds {@link #run} reports. */
    static int reported(int rounds) {
        return rounds + WARM_UP;
    }

    @Override
    public void close() {
        contenders.forEach(Contender::close);
    }
}
