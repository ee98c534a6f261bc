package io.panoptim.train;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Scaling;
import io.panoptim.engine.Stream;
import io.panoptim.optim.GradientTables;
import io.panoptim.optim.JointStep;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.StepContext;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Scales the loss, so that gradients do not underflow in half precision, and skips steps whose gradients overflow:
 * {@code torch.amp.GradScaler}, with its rules, its state and its messages.
 *
 * <pre>{@code
 * double loss = scaler.scale(model.loss()); // of which the gradients are computed
 * scaler.step(optimizer);
 * scaler.update();
 * }</pre>
 *
 * <p>Unless {@link #unscale} was called, gradients stay scaled in memory: the step multiplies them in the same pass as its update, so that
 * a scaled step reads gradients once more than any other and writes nothing more. It is skipped exactly: parameters, state and step counts
 * stay as they are. So {@link #skipped} is known afterwards, and a scheduler need not step where the optimizer did not:
 *
 * <pre>{@code
 * if (!scaler.skipped(optimizer)) {
 *     scheduler.step();
 * }
 * }</pre>
 *
 * <p>Optimizers whose step is several passes of their own (Muon, Lookahead) have their gradients unscaled in a pass before it; those that
 * evaluate closures are refused, as in torch. Float16 gradients are refused where they would be unscaled in memory, in which small ones
 * are lost; in the same pass as an update they are not rounded again, and so accepted, as by torch's fused optimizers.
 */
public final class GradScaler implements AutoCloseable {
    private static final String NAME = "GradScaler";
    private static final double INFINITY = Double.POSITIVE_INFINITY;
    /** Of gradients only whether they are finite matters, for which any norm will do. */
    private static final Measurement FINITENESS = new Measurement(INFINITY, INFINITY, false, true);
    private static final Measurement UNSCALING = new Measurement(INFINITY, INFINITY, true, true);
    /** What a step does to gradients that are still scaled, and to those that are not any more. */
    private static final Extras SCALED = Extras.of(Extras.Part.UNSCALE, Extras.Part.SKIP);
    private static final Extras UNSCALED = Extras.of(Extras.Part.SKIP);
    private static final String FIX = "  This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration.";

    private static final String SCALE = "scale";
    private static final String GROWTH_FACTOR = "growth_factor";
    private static final String BACKOFF_FACTOR = "backoff_factor";
    private static final String GROWTH_INTERVAL = "growth_interval";
    private static final String GROWTH_TRACKER = "_growth_tracker";
    private static final String HYSTERESIS = "hysteresis";
    private static final String HYSTERESIS_TRACKER = "_hysteresis_tracker";

    /**
     * The options, with torch's names and defaults.
     *
     * @param initScale of the loss: finite, more than 0
     * @param growthFactor by which the scale grows after {@code growthInterval} updates in a row without overflow
     * @param backoffFactor by which it shrinks after an overflow
     * @param growthInterval how many updates that takes
     * @param hysteresis how many overflows it takes, since the last update without one, until the scale shrinks: 1 in torch
     * @param enabled without which everything passes through unscaled
     */
    public record Options(double initScale, double growthFactor, double backoffFactor, int growthInterval, int hysteresis,
                          boolean enabled) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            if (enabled) {
                checkScale(initScale);
                new Scaling(growthFactor, backoffFactor, growthInterval, hysteresis);
            }
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(65536, 2, 0.5, 2000, 1, true);
        }

        public Options withInitScale(double newInitScale) {
            return new Options(newInitScale, growthFactor, backoffFactor, growthInterval, hysteresis, enabled);
        }

        public Options withGrowthFactor(double newGrowthFactor) {
            return new Options(initScale, newGrowthFactor, backoffFactor, growthInterval, hysteresis, enabled);
        }

        public Options withBackoffFactor(double newBackoffFactor) {
            return new Options(initScale, growthFactor, newBackoffFactor, growthInterval, hysteresis, enabled);
        }

        public Options withGrowthInterval(int newGrowthInterval) {
            return new Options(initScale, growthFactor, backoffFactor, newGrowthInterval, hysteresis, enabled);
        }

        public Options withHysteresis(int newHysteresis) {
            return new Options(initScale, growthFactor, backoffFactor, growthInterval, newHysteresis, enabled);
        }

        public Options withEnabled(boolean newEnabled) {
            return new Options(initScale, growthFactor, backoffFactor, growthInterval, hysteresis, newEnabled);
        }
    }

    private enum Stage { READY, UNSCALED, STEPPED }

    /** What is known of one optimizer; its control block stays, its stage is of this iteration. */
    private final class PerOptimizer {
        final Optimizer optimizer;
        final Control control = engine.control();
        final GradientTables gradients;
        final @Nullable JointStep joint;
        final StepContext scaled = new StepContext(control, SCALED, 0, 0);
        final StepContext unscaled = new StepContext(control, UNSCALED, 0, 0);
        Stage stage = Stage.READY;
        /** Whether there were gradients in which to look for an overflow. */
        boolean checked;

        PerOptimizer(Optimizer optimizer) {
            this.optimizer = optimizer;
            this.gradients = GradientTables.of(NAME, List.of(optimizer));
            this.joint = JointStep.canCarry(optimizer) ? new JointStep(List.of(optimizer)) : null;
        }

        void unscale() {
            gradients.refuse(DType.FLOAT16, "Attempting to unscale FP16 gradients.");
            control.scaleOf(scale, optimizer.stream());
            gradients.measure(FINITENESS, control);
            gradients.scale(UNSCALING, control);
            checked = hasGradient(optimizer);
            stage = Stage.UNSCALED;
        }

        void step() {
            if (joint == null) {
                stepApart();
            } else if (stage == Stage.READY) {
                checkRecorded(hasGradient(optimizer));
                control.scaleOf(scale, optimizer.stream());
                joint.measure(FINITENESS, control);
                checked = true;
                joint.step(scaled);
            } else {
                checkRecorded(checked);
                joint.step(unscaled);
            }
            stage = Stage.STEPPED;
        }

        private void stepApart() {
            if (stage == Stage.READY) {
                checkRecorded(hasGradient(optimizer));
                unscale();
            }
            checkRecorded(checked);
            if (!control.foundInf()) {
                optimizer.step();
            }
        }

        void close() {
            gradients.close();
            control.close();
        }
    }

    private final Engine engine;
    private final boolean enabled;
    private final Control scale;
    private final Map<Optimizer, PerOptimizer> optimizers = new IdentityHashMap<>();
    private Scaling scaling;
    /** By optimizer the block that its last step was measured into. */
    private final Map<Optimizer, Control> last = new IdentityHashMap<>();
    /** That of the optimizer that was used last: the scale is updated on it. */
    private Stream stream = Stream.DEFAULT;
    /** Whether a loss was scaled: torch has no scale before. */
    private boolean used;

    /** Of optimizers on an engine, with torch's defaults. */
    public GradScaler(Engine engine) {
        this(engine, Options.defaults());
    }

    /** Of optimizers on an engine. */
    public GradScaler(Engine engine, Options options) {
        this.engine = engine;
        this.enabled = options.enabled;
        this.scaling = enabled ? new Scaling(options.growthFactor, options.backoffFactor, options.growthInterval, options.hysteresis)
                : new Scaling(2, 0.5, 1, 1);
        this.scale = engine.control();
        if (enabled) {
            scale.scale((float) options.initScale, 0, options.hysteresis, stream);
        }
    }

    /** The loss multiplied by the scale, which it reads: that waits for the device. Unchanged if not enabled. */
    public double scale(double loss) {
        used = true;
        return enabled ? loss * scale.read().scale() : loss;
    }

    /**
     * The scale where it lies on the engine's device, one float32, by which to multiply the loss there: nothing waits for anything.
     *
     * @throws PanoptimException when not enabled
     */
    public Tensor scale() {
        if (!enabled) {
            throw refusal("is not enabled: there is no scale");
        }
        used = true;
        return scale.scale();
    }

    /**
     * Multiplies an optimizer's gradients by the inverse scale where they lie, so that they can be looked at or clipped before the step,
     * and finds out whether they overflowed. Once between two updates.
     *
     * @throws PanoptimException out of order, with float16 gradients, or with sparse ones; nothing is written
     */
    public void unscale(Optimizer optimizer) {
        if (!enabled) {
            return;
        }
        checkUsed("unscale_");
        PerOptimizer of = of(optimizer);
        if (of.stage == Stage.UNSCALED) {
            throw refusal("unscale_() has already been called on this optimizer since the last update().");
        }
        if (of.stage == Stage.STEPPED) {
            throw refusal("unscale_() is being called after step().");
        }
        of.unscale();
    }

    /**
     * Steps an optimizer with its unscaled gradients, unless one of them is infinite or NaN. Its hooks are called either way where the
     * step is one pass.
     *
     * @throws PanoptimException out of order, or without any gradient
     */
    public void step(Optimizer optimizer) {
        if (!enabled) {
            optimizer.step();
            return;
        }
        if (optimizer.needsClosure()) {
            throw closureRefusal();
        }
        checkUsed("step");
        PerOptimizer of = of(optimizer);
        if (of.stage == Stage.STEPPED) {
            throw refusal("step() has already been called since the last update().");
        }
        of.step();
    }

    /** Only if not enabled: a closure would evaluate the loss with another scale. */
    public double step(Optimizer optimizer, DoubleSupplier closure) {
        if (enabled) {
            throw closureRefusal();
        }
        return optimizer.step(closure);
    }

    /**
     * Lets the scale follow what this iteration's steps have found, and begins the next iteration. After
     * {@code growthInterval} of these in a row without overflow the scale grows; after an overflow of any optimizer it shrinks.
     */
    public void update() {
        if (!enabled) {
            return;
        }
        checkUsed("update");
        if (optimizers.values().stream().noneMatch(of -> of.checked)) {
            throw refusal("No inf checks were recorded prior to update.");
        }
        for (PerOptimizer of : optimizers.values()) {
            if (of.checked) {
                scale.merge(of.control, stream);
            }
        }
        scale.update(scaling, stream);
        reset();
    }

    /** Sets the scale, instead; what this iteration has found is forgotten. */
    public void update(double newScale) {
        if (!enabled) {
            return;
        }
        checkUsed("update");
        checkScale(newScale);
        Control.Values now = scale.read();
        scale.scale((float) newScale, now.growthTracker(), now.hysteresisTracker(), stream);
        reset();
    }

    /** Whether an optimizer's last step, or the coming one if it was unscaled already, is left out; waits for the device. */
    public boolean skipped(Optimizer optimizer) {
        Control measured = last.get(optimizer);
        return measured != null && measured.foundInf();
    }

    /** The scale, or 1 if not enabled; waits for the device. */
    public double getScale() {
        return enabled ? scale.read().scale() : 1;
    }

    public double getGrowthFactor() {
        return scaling.growthFactor();
    }

    /** From the next update on. */
    public void setGrowthFactor(double newFactor) {
        scaling = new Scaling(newFactor, scaling.backoffFactor(), scaling.growthInterval(), scaling.hysteresis());
    }

    public double getBackoffFactor() {
        return scaling.backoffFactor();
    }

    /** From the next update on. */
    public void setBackoffFactor(double newFactor) {
        scaling = new Scaling(scaling.growthFactor(), newFactor, scaling.growthInterval(), scaling.hysteresis());
    }

    public int getGrowthInterval() {
        return scaling.growthInterval();
    }

    /** From the next update on. */
    public void setGrowthInterval(int newInterval) {
        scaling = new Scaling(scaling.growthFactor(), scaling.backoffFactor(), newInterval, scaling.hysteresis());
    }

    public boolean isEnabled() {
        return enabled;
    }

    /**
     * torch's five entries, and two more where there is hysteresis; nothing if not enabled. To be called after an update.
     */
    public Map<String, Object> stateDict() {
        Map<String, Object> dict = new LinkedHashMap<>();
        if (enabled) {
            Control.Values now = scale.read();
            dict.put(SCALE, (double) now.scale());
            dict.put(GROWTH_FACTOR, scaling.growthFactor());
            dict.put(BACKOFF_FACTOR, scaling.backoffFactor());
            dict.put(GROWTH_INTERVAL, scaling.growthInterval());
            dict.put(GROWTH_TRACKER, now.growthTracker());
            if (scaling.hysteresis() > 1) {
                dict.put(HYSTERESIS, scaling.hysteresis());
                dict.put(HYSTERESIS_TRACKER, now.hysteresisTracker());
            }
        }
        return dict;
    }

    /** Goes on from what {@link #stateDict} returned, or torch's {@code state_dict}; does nothing if not enabled. */
    public void loadStateDict(Map<String, ?> stateDict) {
        if (!enabled) {
            return;
        }
        if (stateDict.isEmpty()) {
            throw refusal("The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.");
        }
        double newScale = number(stateDict, SCALE);
        checkScale(newScale);
        int hysteresis = stateDict.containsKey(HYSTERESIS) ? (int) number(stateDict, HYSTERESIS) : scaling.hysteresis();
        int hysteresisTracker = stateDict.containsKey(HYSTERESIS_TRACKER) ? (int) number(stateDict, HYSTERESIS_TRACKER) : hysteresis;
        int growthTracker = (int) number(stateDict, GROWTH_TRACKER);
        scaling = new Scaling(number(stateDict, GROWTH_FACTOR), number(stateDict, BACKOFF_FACTOR), (int) number(stateDict, GROWTH_INTERVAL),
                hysteresis);
        scale.scale((float) newScale, growthTracker, hysteresisTracker, stream);
    }

    /** Begins a step of optimizers that share what is found, in a block that gets the scale. */
    void begin(List<Optimizer> together, Control control) {
        checkUsed("step");
        for (int i = 0; i < together.size(); i++) {
            PerOptimizer of = optimizers.get(together.get(i));
            if (of != null && of.stage == Stage.UNSCALED) {
                throw refusal("unscale_() has already been called on this optimizer since the last update().");
            }
            if (of != null && of.stage == Stage.STEPPED) {
                throw refusal("step() has already been called since the last update().");
            }
        }
        boolean any = false;
        for (int i = 0; i < together.size(); i++) {
            any |= hasGradient(together.get(i));
        }
        checkRecorded(any);
        stream = together.getFirst().stream();
        for (int i = 0; i < together.size(); i++) {
            last.put(together.get(i), control);
        }
        control.scaleOf(scale, stream);
    }

    /** Ends it, and the iteration. */
    void end(Control control) {
        scale.merge(control, stream);
        scale.update(scaling, stream);
    }

    Engine engine() {
        return engine;
    }

    private void reset() {
        optimizers.values().forEach(of -> {
            of.stage = Stage.READY;
            of.checked = false;
        });
    }

    private PerOptimizer of(Optimizer optimizer) {
        PerOptimizer of = optimizers.get(optimizer);
        if (of == null) {
            if (optimizer.engine() != engine) {
                throw refusal(optimizer.name() + " is of the " + optimizer.engine().name() + " engine, and this scaler of the "
                        + engine.name() + " engine: expected one engine");
            }
            of = new PerOptimizer(optimizer);
            optimizers.put(optimizer, of);
        }
        stream = optimizer.stream();
        last.put(optimizer, of.control);
        return of;
    }

    /** Whether any parameter that is not frozen has a gradient. */
    private static boolean hasGradient(Optimizer optimizer) {
        List<ParamGroup> groups = optimizer.paramGroups();
        for (int i = 0; i < groups.size(); i++) {
            List<Parameter> parameters = groups.get(i).params();
            for (int j = 0; j < parameters.size() && !groups.get(i).isFrozen(); j++) {
                if (parameters.get(j).gradient() != null || parameters.get(j).sparseGradient() != null) {
                    return true;
                }
            }
        }
        return false;
    }

    private static void checkRecorded(boolean any) {
        if (!any) {
            throw refusal("No inf checks were recorded for this optimizer.");
        }
    }

    private void checkUsed(String function) {
        if (!used) {
            throw refusal("Attempted " + function + " but _scale is None." + FIX);
        }
    }

    private static void checkScale(double scale) {
        if (!((float) scale > 0) || (float) scale == Float.POSITIVE_INFINITY) {
            throw refusal("a loss scale of " + scale + ": expected a finite number more than 0");
        }
    }

    private static double number(Map<String, ?> dict, String key) {
        if (!(dict.get(key) instanceof Number number)) {
            throw refusal("the state dict's '" + key + "' is " + dict.get(key) + ": expected a number");
        }
        return number.doubleValue();
    }

    private static PanoptimException closureRefusal() {
        return refusal("Closure use is not currently supported if GradScaler is enabled.");
    }

    private static PanoptimException refusal(String message) {
        return PanoptimException.invalid(NAME, message);
    }

    /** Frees what it keeps of optimizers, and its scale. */
    @Override
    public void close() {
        optimizers.values().forEach(PerOptimizer::close);
        scale.close();
    }
}
