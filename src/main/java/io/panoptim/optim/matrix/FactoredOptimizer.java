package io.panoptim.optim.matrix;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredStep;
import io.panoptim.engine.FactoredStep.Scalars;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.TensorOptimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What the two Adafactors have in common: second moments of matrices as averages over their rows and columns, those of vectors one by one;
 * of more than two dimensions the last two count, for each index of the others. State is of the compute type, float32 for half types.
 *
 * @param <O> the options
 */
abstract class FactoredOptimizer<O extends Record> extends TensorOptimizer<O> {
    /** The keys of the averages over rows, over columns, of what is not factored, and of updates. */
    record Keys(String rows, String columns, String elements, String average) {}

    private List<Target> stepping = List.of();
    private final List<Scalars> scalars = new ArrayList<>();
    private @Nullable FactoredStep plan;
    /** Whether the root mean squares among the state are the plan's. */
    private boolean asksPlan;

    FactoredOptimizer(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema, parameters, options);
        engine.factoredStep(List.of()).close(); // or it is refused, before there is state
    }

    abstract Keys keys();

    /** The shape of the averages over rows, or columns, given the tensor's shape and the dimension that is averaged over. */
    abstract long[] averageShape(long[] shape, int over);

    /** Whether there is an average of updates. */
    abstract boolean averages(ParamGroup group);

    /** What the step is told of a tensor. */
    abstract Scalars scalars(ParamGroup group, long step, DType dtype);

    /** The key of a tensor's root mean square before its last step among the state; null if that is no part of it. */
    @Nullable String rmsKey() {
        return null;
    }

    @Override
    protected final void checkParameter(String name, Tensor value) {
        Factored.checkLayout(name, value);
    }

    @Override
    protected final Map<String, Tensor> newState(Target target, Memory allocated) {
        Map<String, Tensor> state = new LinkedHashMap<>();
        Tensor value = target.tensor();
        DType type = value.dtype().computeType();
        if (averages(target.group())) {
            state.put(keys().average, allocated.zerosLike(value, type));
        }
        if (Factored.isFactored(value)) {
            int dimensions = value.shape().length;
            state.put(keys().rows, allocated.zeros(type, averageShape(value.shape(), dimensions - 1)));
            state.put(keys().columns, allocated.zeros(type, averageShape(value.shape(), dimensions - 2)));
        } else {
            state.put(keys().elements, allocated.zerosLike(value, type));
        }
        return state;
    }

    @Override
    protected final void build(List<Target> targets) {
        List<Factored> tensors = new ArrayList<>();
        for (Target target : targets) {
            boolean factored = Factored.isFactored(target.tensor());
            tensors.add(new Factored(target.name(), target.tensor(), target.gradient(), factored ? target.state(keys().rows) : null,
                    target.state(factored ? keys().columns : keys().elements), target.stateOrNull(keys().average)));
        }
        plan = engine().factoredStep(tensors);
        stepping = targets;
    }

    @Override
    protected final void moved(Map<Integer, Tensor> gradients) {
        if (plan != null) {
            plan.gradients(gradients);
        }
    }

    @Override
    protected final void stepTargets() {
        if (plan == null) {
            return;
        }
        scalars.clear();
        for (Target target : stepping) {
            scalars.add(scalars(target.group(), target.step() + 1, target.tensor().dtype()));
        }
        plan.run(scalars, stream());
        stepping.forEach(Target::count);
        String key = rmsKey();
        if (key != null && !asksPlan) { // only when somebody asks: on a device that waits for the step
            FactoredStep asked = plan;
            for (int i = 0; i < stepping.size(); i++) {
                int number = i;
                stepping.get(i).number(key, () -> asked.rms(number));
            }
            asksPlan = true;
        }
    }

    @Override
    protected final void freePlans() {
        if (plan != null) {
            keepRms(plan);
            plan.close();
            plan = null;
        }
    }

    private void keepRms(FactoredStep closing) {
        String key = rmsKey();
        if (key != null && asksPlan) {
            try {
                for (int i = 0; i < stepping.size(); i++) {
                    double rms = closing.rms(i);
                    stepping.get(i).number(key, () -> rms);
                }
            } catch (PanoptimException lost) { // the device, and with it all state
                return;
            } finally {
                asksPlan = false;
            }
        }
    }
}
