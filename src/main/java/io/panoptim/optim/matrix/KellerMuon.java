package io.panoptim.optim.matrix;

import io.panoptim.linalg.NewtonSchulz;
import io.panoptim.linalg.NewtonSchulz.Quintic;
import io.panoptim.optim.ParamGroup;
import java.util.List;

/** What Keller Jordan's {@code muon.py}, and who follows it, has and torch does not: eps is added to the norm, and nothing is an option. */
abstract class KellerMuon implements MuonStep.Variant {
    private static final double EPS = 1e-7;
    private static final List<Quintic> QUINTICS = NewtonSchulz.repeated(Quintic.KELLER, 5);

    private final int lr;
    private final int momentum;

    /**
     * @param lr where the learning rate stands among a group's options
     * @param momentum and the decay rate of the average of the gradients
     */
    KellerMuon(int lr, int momentum) {
        this.lr = lr;
        this.momentum = momentum;
    }

    @Override
    public double momentum(ParamGroup group) {
        return group.value(momentum);
    }

    @Override
    public boolean nesterov(ParamGroup group) {
        return true;
    }

    @Override
    public double eps(ParamGroup group) {
        return EPS;
    }

    @Override
    public boolean addsEps() {
        return true;
    }

    @Override
    public List<Quintic> quintics(ParamGroup group) {
        return QUINTICS;
    }

    @Override
    public double lr(ParamGroup group, double rows, double columns) {
        return group.value(lr) * Math.sqrt(Math.max(1, rows / columns));
    }
}
