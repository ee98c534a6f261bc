package io.panoptim.train;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Extras.Part;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.GradientTables;
import io.panoptim.optim.GroupStatistics;
import io.panoptim.optim.JointStep;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.StepContext;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A step of one or several optimizers with what comes around it, in at most two passes over memory: one that reads gradients, if their norm
 * or an overflow matters, and one per optimizer that does everything else.
 *
 * <pre>{@code
 * TrainingStep step = TrainingStep.of(optimizer).clipGradNorm(1).scaler(scaler).average(averaged).zeroGrad().build();
 * ...
 * step.step();
 * }</pre>
 *
 * <p>What is asked for is done in this order, by whatever of it there is: gradients are unscaled, clipped by the norm of all of them
 * together, and used by the optimizers; then parameters are averaged and copied, gradients zeroed, and the scale updated. In float32 and
 * float64 the results are, bit for bit, those of the separate calls in this order ({@link GradScaler#unscale}, {@link GradientClipper},
 * {@link GradScaler#step}, {@link AveragedModel#updateParameters}, {@link GradScaler#update}), but that
 * <ul>
 * <li>unscaled and clipped gradients are not written back: gradients stay as they are until they are zeroed, and those of half types are
 * not rounded in between;
 * <li>an overflow anywhere skips the step of every optimizer, and what comes after it: averages and copies stay as they are, gradients are
 * zeroed nevertheless;
 * <li>an optimizer that clips by the norm of all its gradients itself (LAMB) takes it to be that of the gradients in memory times the two
 * factors, which may be off by a unit in the last place of a float64;
 * <li>of a parameter with a master ({@link io.panoptim.optim.Storage}) averages and copies that ride along see the master, and those of a
 * pass of their own the value;
 * <li>gradients of frozen groups are neither measured, clipped nor zeroed.
 * </ul>
 *
 * <p>Averages ride along with the update if they interpolate ({@link Averaging}), from the second on, in steps for which every parameter has a
 * gradient; otherwise they are a pass of their own after it. Optimizers that do several passes of their own (Muon, Lookahead) do not take anything
 * along: as soon as there is one, everything is done in separate passes, in the same order; gradients are then written back.
 *
 * <p>Nothing waits for the device, except in separate passes. Where an overflow decides whether a step takes place the device does, and the
 * CPU learns of it when the next step is ordered: until then it may be ahead. Optimizers are used by one thread at a time, and so is this.
 */
public final class TrainingStep implements AutoCloseable {
    private static final String NAME = "TrainingStep";
    private static final double INFINITY = Double.POSITIVE_INFINITY;
    private static final double EUCLIDEAN = 2;

    /** What a step consists of. */
    public static final class Builder {
        private final List<Optimizer> optimizers;
        private double maxNorm = INFINITY;
        private double normType = EUCLIDEAN;
        private boolean measures;
        private @Nullable GradScaler scaler;
        private @Nullable AveragedModel average;
        private Map<Parameter, Tensor> copies = Map.of();
        private Extras extras = Extras.NONE;

        private Builder(List<Optimizer> optimizers) {
            this.optimizers = optimizers;
        }

        /** Clips by the Euclidean norm of all gradients: {@code torch.nn.utils.clip_grad_norm_}. */
        public Builder clipGradNorm(double newMaxNorm) {
            return clipGradNorm(newMaxNorm, EUCLIDEAN);
        }

        /**
         * Clips by the norm of all gradients.
         *
         * @param newMaxNorm not negative; with infinity nothing is clipped: {@link GradientClipper#clipGradNorm(double, double, boolean)}
         * @param newNormType the norm's order: positive, or infinity
         */
        public Builder clipGradNorm(double newMaxNorm, double newNormType) {
            maxNorm = GradientClipper.checked(newMaxNorm);
            extras = extras.with(Part.CLIP);
            return norm(newNormType);
        }

        /** Measures the norm of all gradients, for {@link TrainingStep#norm}, without clipping by it. */
        public Builder norm(double newNormType) {
            new Measurement(newNormType, maxNorm, false, false);
            normType = newNormType;
            measures = true;
            return this;
        }

        /** Unscales gradients, skips the step if they overflow, and updates the scale; nothing if the scaler is not enabled. */
        public Builder scaler(GradScaler newScaler) {
            scaler = newScaler.isEnabled() ? newScaler : null;
            return this;
        }

        /** Updates a model's average. */
        public Builder average(AveragedModel newAverage) {
            average = newAverage;
            return this;
        }

        /**
         * Writes copies of parameters in another type, for the next forward pass; the first time when the step is built.
         *
         * @param newCopies of any of the optimizers' parameters: of a half type or of float32, in the shape and layout of the value
         */
        public Builder copy(Map<Parameter, Tensor> newCopies) {
            copies = new IdentityHashMap<>(newCopies);
            return this;
        }

        /** Fills gradients with zeros after their use, also if the step is skipped. */
        public Builder zeroGrad() {
            extras = extras.with(Part.ZERO_GRADIENT);
            return this;
        }

        /** Stores state below the smallest normal number as zero. */
        public Builder flushSubnormals() {
            extras = extras.with(Part.FLUSH_SUBNORMAL);
            return this;
        }

        /** Adds up norms for each group: {@link TrainingStep#statistics}. */
        public Builder statistics() {
            extras = extras.with(Part.STATISTICS);
            return this;
        }

        /**
         * Checks everything and builds the plan, which owns none of what it was given.
         *
         * @throws PanoptimException when the parts do not fit together; nothing has changed then
         */
        public TrainingStep build() {
            return new TrainingStep(this);
        }
    }

    /** Parameters in one place, that have one average. */
    private record Riding(List<Parameter> tied, ParamGroup group) {
        boolean steps() {
            boolean any = false;
            for (int i = 0; i < tied.size(); i++) {
                any |= tied.get(i).gradient() != null;
            }
            return any && !group.isFrozen();
        }
    }

    private final List<Optimizer> optimizers;
    private final Engine engine;
    private final @Nullable GradScaler scaler;
    private final @Nullable AveragedModel average;
    private final @Nullable Measurement measurement;
    private final @Nullable Control control;
    private final Extras extras;
    private final @Nullable JointStep joint;
    private final @Nullable GradientTables gradients;
    private final @Nullable Table copies;
    /** What averages ride along with. */
    private final List<Riding> passengers = new ArrayList<>();
    /** Whether all of them step, as of the changes of gradients so far. */
    private boolean allStep;
    private long lookedUp = -1;
    private StepContext context;
    /** Whether averages ride along with the optimizers' steps. */
    private boolean rides;
    private Control.Outcome outcome = Control.Outcome.TAKEN;
    private boolean closed;

    private TrainingStep(Builder builder) {
        this.optimizers = builder.optimizers;
        this.engine = optimizers.getFirst().engine();
        this.scaler = builder.scaler;
        this.average = builder.average;
        boolean carries = optimizers.stream().allMatch(JointStep::canCarry);
        check(builder, carries);
        this.joint = carries ? new JointStep(optimizers) : null;
        this.gradients = carries ? null : GradientTables.of(NAME, optimizers);
        this.copies = builder.copies.isEmpty() ? null : copies(builder.copies);
        this.measurement = builder.measures || scaler != null
                ? new Measurement(builder.measures ? builder.normType : INFINITY, builder.maxNorm, scaler != null, scaler != null) : null;
        this.extras = builder.extras.with(scaler == null ? new Part[0] : new Part[] {Part.UNSCALE, Part.SKIP})
                .with(copies == null ? new Part[0] : new Part[] {Part.COPY});
        this.control = measurement == null ? null : engine.control();
        this.context = new StepContext(control, extras, 0, 0);
        try {
            if (joint != null && average != null) {
                carryAverages(joint, average);
            }
            if (joint != null && copies != null) {
                joint.carry(Column.COPY, builder.copies);
            }
            if (copies != null) {
                engine.map(copies, MapOperation.cast(Column.COPY, Column.VALUE), optimizers.getFirst().stream());
            }
        } catch (RuntimeException | Error refused) {
            close();
            throw refused;
        }
    }

    /** A step of some optimizers on one engine. */
    public static Builder of(Optimizer... optimizers) {
        GradientTables.of(NAME, List.of(optimizers)).close(); // or refuse
        return new Builder(List.of(optimizers));
    }

    private void check(Builder builder, boolean carries) {
        for (Optimizer optimizer : optimizers) {
            if (optimizer.needsClosure()) {
                throw refusal(optimizer.name() + " evaluates a closure in its step: clip, scale and average around its own step");
            }
            if (!carries && !JointStep.canCarry(optimizer)
                    && (builder.extras.has(Part.STATISTICS) || builder.extras.has(Part.FLUSH_SUBNORMAL))) {
                throw PanoptimException.unsupported(NAME, optimizer.name() + " does several passes of its own: it has no statistics, and "
                        + "does not flush subnormals");
            }
        }
        if (scaler != null && scaler.engine() != engine || average != null && average.engine() != engine) {
            throw refusal("the optimizers are of the " + engine.name() + " engine, and the " + (scaler != null && scaler.engine() != engine
                    ? "scaler" : "average") + " is of another: expected one engine");
        }
        Set<Parameter> all = Collections.newSetFromMap(new IdentityHashMap<>());
        optimizers.forEach(optimizer -> optimizer.paramGroups().forEach(group -> all.addAll(group.params())));
        builder.copies.keySet().stream().filter(parameter -> !all.contains(parameter)).findFirst().ifPresent(parameter -> {
            throw refusal(parameter + " is to be copied, and is not one of the optimizers'");
        });
    }

    private Table copies(Map<Parameter, Tensor> tensors) {
        List<TensorEntry> entries = new ArrayList<>();
        tensors.forEach((parameter, copy) -> entries.add(new TensorEntry(parameter.name() == null ? "parameter" : parameter.name(),
                parameter.value(), null, List.of(), Map.of(Column.COPY, copy), 0, 0, parameter.value().elements(), entries.size(), 1)));
        return engine.table(entries);
    }

    private void carryAverages(JointStep carrying, AveragedModel carried) {
        Map<Parameter, ParamGroup> stepped = new IdentityHashMap<>();
        optimizers.forEach(optimizer -> optimizer.paramGroups()
                .forEach(group -> group.params().forEach(parameter -> stepped.put(parameter, group))));
        Map<Parameter, Tensor> averages = carried.ride(stepped.keySet());
        rides = true;
        Map<Tensor, Riding> byAverage = new IdentityHashMap<>();
        averages.forEach((parameter, tensor) -> byAverage
                .computeIfAbsent(tensor, key -> new Riding(new ArrayList<>(), stepped.get(parameter))).tied.add(parameter));
        passengers.addAll(byAverage.values());
        carrying.carry(Column.AVERAGE, averages);
    }

    /**
     * Carries out the step.
     *
     * @throws PanoptimException when a tensor cannot be used, a scaler is used out of order, or one of the optimizers refuses to step; before
     *     anything is written, also by the others
     */
    public void step() {
        if (closed) {
            throw new PanoptimException(PanoptimException.Code.CLOSED, NAME + ".step", "the plan is closed");
        }
        if (average != null) {
            average.checkUpdatable();
            average.stream(optimizers.getFirst().stream());
        }
        if (scaler != null) {
            scaler.begin(optimizers, control);
        }
        if (joint != null) {
            stepAtOnce(joint);
        } else {
            stepApart(gradients);
        }
        if (scaler != null) {
            scaler.end(control);
        }
    }

    private void stepAtOnce(JointStep together) {
        boolean riding = rides && average.canRide() && ridesEverywhere();
        if (measurement != null) {
            together.measure(measurement, control);
        }
        together.step(context(riding));
        outcome = scaler == null ? Control.Outcome.TAKEN : control.outcome();
        if (riding) {
            average.rode(outcome);
        } else if (average != null && !outcome.skipped()) {
            average.updateParameters();
        }
    }

    private StepContext context(boolean averages) {
        double weight = averages ? average.weight() : 0;
        if (averages != context.extras().has(Part.AVERAGE) || weight != context.averageWeight()) {
            context = new StepContext(control, averages ? extras.with(Part.AVERAGE) : extras, weight, 0);
        }
        return context;
    }

    /** Whether all averaged parameters that the optimizers have step: an average follows its parameter where that stands still, too. */
    private boolean ridesEverywhere() {
        long changes = ParamGroup.gradientChanges(); // before the look-up: what changes meanwhile is looked up again
        if (changes != lookedUp) {
            allStep = !passengers.isEmpty();
            for (int i = 0; i < passengers.size() && allStep; i++) {
                allStep = passengers.get(i).steps();
            }
            lookedUp = changes;
        }
        return allStep;
    }

    private void stepApart(GradientTables tables) {
        if (scaler != null) {
            tables.refuse(DType.FLOAT16, "Attempting to unscale FP16 gradients.");
        }
        if (measurement != null || optimizers.size() > 1) {
            JointStep.checkReady(optimizers, scaler != null);
        }
        if (measurement != null) {
            tables.measure(measurement, control);
            tables.scale(measurement, control);
        }
        outcome = scaler == null ? Control.Outcome.TAKEN : control.outcome();
        if (!outcome.skipped()) {
            optimizers.forEach(Optimizer::step);
            if (average != null) {
                average.updateParameters();
            }
            if (copies != null) {
                engine.map(copies, MapOperation.cast(Column.COPY, Column.VALUE), optimizers.getFirst().stream());
            }
        }
        if (extras.has(Part.ZERO_GRADIENT)) {
            tables.map(MapOperation.zero(Column.GRADIENT));
        }
    }

    /** Whether the last step was left out because gradients overflowed, so that a scheduler need not step; waits for the device. */
    public boolean skipped() {
        return outcome.skipped();
    }

    /** The norm of the gradients of the last step, unscaled, before clipping: to be read until the next one. Reading it waits for the device. */
    public Reduction.Result norm() {
        Control measured = control();
        return () -> measured.read().norm();
    }

    /** What was measured and decided; {@link Control#latest} does not wait for the device. */
    public Control control() {
        if (control == null) {
            throw refusal("no norm is measured: ask for one when building the step");
        }
        return control;
    }

    /** The norms of each group in the last step that took place; waits for the device. */
    public List<GroupStatistics> statistics() {
        if (joint == null || !extras.has(Part.STATISTICS)) {
            throw refusal("no statistics are taken: ask for them when building the step");
        }
        return joint.statistics();
    }

    private static PanoptimException refusal(String message) {
        return PanoptimException.invalid(NAME, message);
    }

    /** Frees what the plan itself has; optimizers, scaler and average stay open, and step without it again. Idempotent. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (rides) {
            joint.release(Column.AVERAGE);
            average.alight();
        }
        if (joint != null && copies != null) {
            joint.release(Column.COPY);
        }
        if (gradients != null) {
            gradients.close();
        }
        if (copies != null) {
            copies.close();
        }
        if (control != null) {
            control.close();
        }
    }
}
