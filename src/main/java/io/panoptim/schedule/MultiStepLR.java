package io.panoptim.schedule;

import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/**
 * Multiplies the learning rate by {@code gamma} at each milestone, as {@code torch.optim.lr_scheduler.MultiStepLR}; a
 * milestone given several times counts as often.
 */
public final class MultiStepLR extends EpochLR {
    /** In ascending order. */
    private long[] milestones;
    private double gamma;

    /** With torch's default, a tenth. */
    public MultiStepLR(Schedulable scheduled, long... milestones) {
        this(scheduled, milestones, 0.1);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param milestones epochs, in any order
     * @param gamma the factor
     */
    public MultiStepLR(Schedulable scheduled, long[] milestones, double gamma) {
        super(scheduled);
        this.milestones = Arrays.stream(milestones).sorted().toArray();
        this.gamma = gamma;
        start();
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        int times = countUpTo(epoch) - countUpTo(epoch - 1);
        if (times > 0) {
            double factor = CMath.pow(gamma, times);
            for (int i = 0; i < lrs.length; i++) {
                lrs[i] *= factor;
            }
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * CMath.pow(gamma, countUpTo(epoch));
    }

    private int countUpTo(long epoch) {
        return Milestones.upTo(milestones, epoch);
    }

    @Override
    protected void state(SchedulerState state) {
        milestones = state.field("milestones", milestones, MultiStepLR::counter, MultiStepLR::milestones,
                "a map from epochs to how often each is a milestone");
        gamma = state.number("gamma", gamma);
        super.state(state);
    }

    /** torch's {@code Counter}. */
    private static Map<Object, Object> counter(long[] milestones) {
        Map<Object, Object> counter = new LinkedHashMap<>();
        for (long milestone : milestones) {
            counter.merge(milestone, 1L, (before, one) -> (Long) before + (Long) one);
        }
        return counter;
    }

    /** The keys may be strings, as JSON's are. */
    private static long @Nullable [] milestones(Object counter) {
        if (!(counter instanceof Map<?, ?> map)) {
            return null;
        }
        try {
            return map.entrySet().stream().flatMapToLong(entry -> LongStream
                    .generate(() -> Long.parseLong(entry.getKey().toString()))
                    .limit(Long.parseLong(entry.getValue().toString()))).sorted().toArray();
        } catch (IllegalArgumentException noNumbers) {
            return null;
        }
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
