package io.panoptim.optim.matrix;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The original Muon with AdamW for what it is not meant for, as Keller Jordan's {@code SingleDeviceMuonWithAuxAdam}, and as his
 * {@code MuonWithAuxAdam} on one device: groups of matrices, and groups of any other parameters whose option {@code use_muon} is false.
 *
 * <p>Against torch's {@link Muon}, eps is added to the norm, and only the learning rate, the weight decay and the momentum are options.
 * A parameter without a gradient steps as if that were zero: along its momentum, and it decays. AdamW has averages by {@code lerp},
 * which are divided by their corrections one by one. Gradients stay as they are: his are overwritten.
 *
 * <p>Parameters of more than two dimensions are flattened after the first one. Newton–Schulz computes in float32, his in bfloat16, as for
 * {@link Muon}; AdamW is his to the bit.
 *
 * <p>State: {@code momentum_buffer}, or {@code exp_avg}, {@code exp_avg_sq} and {@code step}.
 *
 * @see <a href="https://github.com/KellerJordan/Muon/blob/master/muon.py">KellerJordan/Muon</a>
 */
public final class MuonWithAuxAdam extends MuonFamily<MuonWithAuxAdam.Options> {
    /**
     * The options of a group, with the author's names. Of those after the weight decay, a group has the momentum or the two others.
     *
     * @param lr learning rate, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param momentum decay rate of the average of the gradients, at least 0, where Muon is used
     * @param betas decay rates of AdamW's two averages, each in [0, 1)
     * @param eps added to AdamW's denominator, at least 0
     * @param useMuon whether the group's parameters are matrices for Muon, or are for AdamW; it cannot change
     */
    public record Options(double lr, double weightDecay, double momentum, Betas betas, double eps, boolean useMuon) {
        /** Refuses what is out of range. */
        public Options {
            Check.lr("MuonWithAuxAdam", lr);
            Check.weightDecay("MuonWithAuxAdam", weightDecay);
            Check.check(momentum >= 0, "MuonWithAuxAdam", "Invalid momentum value: " + momentum);
            Check.betas("MuonWithAuxAdam", betas);
            Check.eps("MuonWithAuxAdam", eps);
        }

        /** The author's defaults where Muon is used. */
        public static Options muon() {
            return new Options(0.02, 0, 0.95, new Betas(0.9, 0.95), 1e-10, true);
        }

        /** The author's defaults for AdamW. */
        public static Options adam() {
            return muon().withLr(3e-4).withUseMuon(false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, weightDecay, momentum, betas, eps, useMuon);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, newWeightDecay, momentum, betas, eps, useMuon);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, weightDecay, newMomentum, betas, eps, useMuon);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, weightDecay, momentum, new Betas(first, second), eps, useMuon);
        }

        public Options withEps(double newEps) {
            return new Options(lr, weightDecay, momentum, betas, newEps, useMuon);
        }

        public Options withUseMuon(boolean newUseMuon) {
            return new Options(lr, weightDecay, momentum, betas, eps, newUseMuon);
        }
    }

    /** The options by the author's names; defaults are those where Muon is used. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("MuonWithAuxAdam", Options.muon());

    private static final int LR = SCHEMA.index("lr");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int USE_MUON = SCHEMA.index("use_muon");

    private static final MuonStep.Variant VARIANT = new KellerMuon(LR, MOMENTUM) {
        @Override
        public double decay(ParamGroup group, boolean missing) {
            return 1 - group.value(LR) * group.value(WEIGHT_DECAY);
        }
    };

    private final AuxAdamStep adam;
    /** Where each of the parameters that step is found among its kind. */
    private int[] places = {};
    private boolean[] isMuons = {};

    /** An optimizer of one group on the best engine for its device. */
    public MuonWithAuxAdam(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("MuonWithAuxAdam", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine; {@link #addParamGroup} adds the others. */
    public MuonWithAuxAdam(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, VARIANT, parameters, options);
        adam = new AuxAdamStep(engine, this::stream);
    }

    @Override
    protected boolean isOfMatrices(Options options) {
        return options.useMuon;
    }

    private static boolean usesMuon(ParamGroup group) {
        return group.value(USE_MUON) != 0;
    }

    @Override
    protected List<String> stateKeys(ParamGroup group) {
        return usesMuon(group) ? super.stateKeys(group) : AuxAdamStep.STATES;
    }

    @Override
    protected boolean countsSteps(ParamGroup group) {
        return !usesMuon(group);
    }

    @Override
    protected boolean missingAreZero() {
        return true;
    }

    @Override
    protected void checkGroup(ParamGroup group) {
        if (wasOfMatrices(group) != usesMuon(group)) {
            throw PanoptimException.invalid(name(), "use_muon of a group cannot change: it was " + wasOfMatrices(group) + " when the group was "
                    + "added; add another group in its place");
        }
    }

    @Override
    protected void build(List<Matrix> stepping) {
        List<Matrix> ofMuon = new ArrayList<>();
        List<Matrix> ofAdam = new ArrayList<>();
        places = new int[stepping.size()];
        isMuons = new boolean[stepping.size()];
        for (int i = 0; i < stepping.size(); i++) {
            isMuons[i] = usesMuon(stepping.get(i).group());
            List<Matrix> kind = isMuons[i] ? ofMuon : ofAdam;
            places[i] = kind.size();
            kind.add(stepping.get(i));
        }
        super.build(ofMuon);
        adam.build(ofAdam);
    }

    @Override
    protected void moved(Map<Integer, Tensor> gradients) {
        Map<Integer, Tensor> ofMuon = new HashMap<>();
        Map<Integer, Tensor> ofAdam = new HashMap<>();
        gradients.forEach((place, gradient) -> (isMuons[place] ? ofMuon : ofAdam).put(places[place], gradient));
        if (!ofMuon.isEmpty()) {
            super.moved(ofMuon);
        }
        if (!ofAdam.isEmpty()) {
            adam.moved(ofAdam);
        }
    }

    @Override
    protected void stepMatrices() {
        super.stepMatrices();
        adam.run();
    }

    @Override
    protected void freePlans() {
        super.freePlans();
        adam.close();
    }
}
