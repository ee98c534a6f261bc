package io.panoptim.optim.matrix;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.NormuonUpdateRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.List;

/**
 * NorMuon, as its authors' {@code SingleDeviceNorMuon}: Keller Jordan's Muon, whose orthogonalized matrices have each row, a neuron's,
 * divided by the root of an average of its mean square; the whole keeps its norm. ({@code microsoft/dion} has the same in other words:
 * its eps are 1e-8, its learning rates follow other shapes, and it skips what has no gradient.)
 *
 * <p>A parameter without a gradient steps as if that were zero, along its momentum, but does not decay. Parameters of more than two
 * dimensions are flattened after the first one, so that a filter is a neuron: the authors' normalize each row of a kernel. Matrices must be
 * in row-major order. Newton–Schulz computes in float32, the original in bfloat16, as for {@link Muon}.
 *
 * <p>State: {@code momentum_buffer}, and {@code second_momentum_buffer}, one float64 number for each row.
 *
 * @see <a href="https://github.com/zichongli5/NorMuon/blob/main/normuon.py">zichongli5/NorMuon</a>
 * @see <a href="https://arxiv.org/abs/2510.05491">Li et al., NorMuon: Making Muon more efficient and scalable</a>
 */
public final class NorMuon extends MuonFamily<NorMuon.Options> {
    private static final String SECOND_MOMENTUM_BUFFER = "second_momentum_buffer";
    private static final double EPS = 1e-10;

    /**
     * The options, with the authors' names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param momentum decay rate of the average of the gradients, at least 0
     * @param beta2 decay rate of the average of the rows' mean squares, in [0, 1)
     */
    public record Options(double lr, double weightDecay, double momentum, double beta2) {
        /** Refuses what is out of range. */
        public Options {
            Check.lr("NorMuon", lr);
            Check.weightDecay("NorMuon", weightDecay);
            Check.check(momentum >= 0, "NorMuon", "Invalid momentum value: " + momentum);
            Check.check(beta2 >= 0 && beta2 < 1, "NorMuon", "Invalid beta2 value: " + beta2);
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(0.02, 0, 0.95, 0.95);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, weightDecay, momentum, beta2);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, newWeightDecay, momentum, beta2);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, weightDecay, newMomentum, beta2);
        }

        public Options withBeta2(double newBeta2) {
            return new Options(lr, weightDecay, momentum, newBeta2);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("NorMuon", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int BETA2 = SCHEMA.index("beta2");

    private static final MuonStep.Variant VARIANT = new KellerMuon(LR, MOMENTUM) {
        @Override
        public double decay(ParamGroup group, boolean missing) {
            return missing ? 1 : 1 - group.value(LR) * group.value(WEIGHT_DECAY);
        }

        @Override
        public Rule update() {
            return Rule.NORMUON_UPDATE;
        }

        @Override
        public List<Tensor> updateStates(Matrix matrix) {
            return List.of(matrix.state(SECOND_MOMENTUM_BUFFER));
        }

        @Override
        public void fill(Rows rows, int row, ParamGroup group, double decay, double stepSize) {
            rows.set(row, NormuonUpdateRow.DECAY, decay)
                    .set(row, NormuonUpdateRow.STEP_SIZE, stepSize)
                    .set(row, NormuonUpdateRow.SECOND_MOMENTUM_WEIGHT, 1 - group.value(BETA2))
                    .set(row, NormuonUpdateRow.EPS, EPS);
        }
    };

    /** An optimizer of one group on the best engine for its device. */
    public NorMuon(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("NorMuon", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public NorMuon(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, VARIANT, parameters, options);
    }

    @Override
    protected List<String> rowStateKeys() {
        return List.of(SECOND_MOMENTUM_BUFFER);
    }

    @Override
    protected boolean missingAreZero() {
        return true;
    }
}
