package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;

/**
 * Lets the learning rate fall along half a cosine and jump back, in ever longer cycles if wanted, as
 * {@code torch.optim.lr_scheduler.CosineAnnealingWarmRestarts} (SGDR).
 */
public final class CosineAnnealingWarmRestarts extends EpochLR {
    private long t0;
    private long tI;
    private long tMult;
    private double etaMin;
    /** Where in its cycle the epoch is; a fraction after {@link #step(double)}. */
    private double tCur;

    /** With torch's defaults: cycles of the same length, down to zero. */
    public CosineAnnealingWarmRestarts(Schedulable scheduled, long t0) {
        this(scheduled, t0, 1, 0);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param t0 epochs of the first cycle, at least 1
     * @param tMult how many times longer each next cycle is, at least 1
     * @param etaMin the minimum
     */
    public CosineAnnealingWarmRestarts(Schedulable scheduled, long t0, long tMult, double etaMin) {
        check(t0, tMult);
        super(scheduled);
        this.t0 = t0;
        this.tI = t0;
        this.tMult = tMult;
        this.etaMin = etaMin;
        this.tCur = lastEpoch();
        start();
    }

    private static void check(long t0, long tMult) {
        if (t0 <= 0) {
            throw PanoptimException.invalid("CosineAnnealingWarmRestarts", "Expected positive integer T_0, but got " + t0);
        }
        if (tMult < 1) {
            throw PanoptimException.invalid("CosineAnnealingWarmRestarts", "Expected integer T_mult >= 1, but got " + tMult);
        }
    }

    /**
     * Sets the learning rates of any moment, as torch's {@code step(epoch)} for use after each batch:
     * {@code step(epoch + batch / batches)}.
     *
     * @param epoch at least 0
     */
    public void step(double epoch) {
        if (!(epoch >= 0) || epoch > 1L << 53) {
            throw PanoptimException.invalid("CosineAnnealingWarmRestarts.step", "Expected non-negative epoch, but got " + epoch);
        }
        if (epoch < t0) {
            update((long) epoch, epoch, t0);
        } else if (tMult == 1) {
            update((long) epoch, epoch % t0, tI);
        } else {
            int cycle = (int) (CMath.log(epoch / t0 * (tMult - 1) + 1) / CMath.log(tMult));
            long times = 1;
            for (int i = 0; i < cycle; i++) {
                times *= tMult;
            }
            update((long) epoch, epoch - (double) (t0 * (times - 1)) / (tMult - 1), t0 * times);
        }
    }

    @Override
    void advance() {
        warnIfFirst(lastEpoch() == 0);
        if (lastEpoch() < 0) {
            update(0, 0, t0);
        } else if (tCur + 1 >= tI) {
            update(lastEpoch() + 1, (tCur + 1) % tI, tI * tMult);
        } else {
            update(lastEpoch() + 1, tCur + 1, tI);
        }
    }

    private void update(long epoch, double newTCur, long newTI) {
        double tCurBefore = tCur;
        long tIBefore = tI;
        tCur = newTCur;
        tI = newTI;
        boolean done = false;
        try {
            update(epoch, false);
            done = true;
        } finally {
            if (!done) {
                tCur = tCurBefore;
                tI = tIBefore;
            }
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        double cosine = 1 + CMath.cos(Math.PI * tCur / tI);
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] = lr(i, cosine);
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        long length = t0;
        long current = epoch;
        while (current >= length) {
            current = tMult == 1 ? current % length : current - length;
            length *= tMult;
        }
        return lr(group, 1 + CMath.cos(Math.PI * current / length));
    }

    private double lr(int group, double cosine) {
        return etaMin + (baseLr(group) - etaMin) * cosine / 2;
    }

    @Override
    protected void state(SchedulerState state) {
        t0 = state.integer("T_0", t0);
        tI = state.integer("T_i", tI);
        tMult = state.integer("T_mult", tMult);
        etaMin = state.number("eta_min", etaMin);
        tCur = state.number("T_cur", tCur);
        super.state(state);
        check(t0, tMult);
        check(tI, tMult);
    }

    @Override
    boolean beginsByClosedForm() {
        return false;
    }
}
