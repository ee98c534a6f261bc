package io.panoptim.train;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Stream;
import io.panoptim.optim.GradientTables;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Adds up gradients over micro-batches in float32 (in float64, if they are float64), while those of the model are half precision, in
 * which a sum loses what is small. The parameters may be of either: a step mixes half types and float32.
 *
 * <pre>{@code
 * for (int i = 0; i < microBatches; i++) {
 *     model.backward();           // overwrites the parameters' gradients
 *     accumulator.accumulate();
 * }
 * accumulator.attach();           // the sums are the parameters' gradients
 * optimizer.step();
 * accumulator.detach();           // the model's own are, and the sums begin anew
 * }</pre>
 */
public final class GradientAccumulator implements AutoCloseable {
    private static final String NAME = "GradientAccumulator";

    private final Memory memory;
    private final GradientTables gradients;
    private final MapOperation add;
    /** The sums of what has had a gradient since the last {@link #detach}. */
    private final Map<Parameter, Tensor> sums = new IdentityHashMap<>();
    private final Map<Parameter, @Nullable Tensor> own = new IdentityHashMap<>();
    private int count;
    private boolean attached;

    private GradientAccumulator(Engine engine, List<Parameter> parameters, double factor) {
        this.memory = engine.memory();
        this.gradients = GradientTables.of(NAME, engine, parameters, value ->
                List.of(memory.zeros(value.dtype().computeType(), value.elements()).part(0, value)));
        this.add = MapOperation.axpy(Column.STATE, factor, Column.GRADIENT);
    }

    /** Of which the sum is used. */
    public static GradientAccumulator sum(Engine engine, List<Parameter> parameters) {
        return new GradientAccumulator(engine, parameters, 1);
    }

    /**
     * Of which the mean is used: each gradient is multiplied by {@code 1 / microBatches} as it is added, without rounding in between.
     *
     * @param microBatches how many there are in a step; if there are fewer, as at the end of an epoch, the sum is still divided by this
     */
    public static GradientAccumulator mean(Engine engine, List<Parameter> parameters, int microBatches) {
        if (microBatches < 1) {
            throw PanoptimException.invalid(NAME, "a mean of " + microBatches + " micro-batches: expected at least 1");
        }
        return new GradientAccumulator(engine, parameters, 1.0 / microBatches);
    }

    /** Adds the gradients that the parameters have now, which stay as they are. */
    public void accumulate() {
        checkAttached("accumulate", false);
        gradients.map(add);
        gradients.forEach((tied, states) -> sums.put(tied.getFirst(), states.getFirst()));
        count++;
    }

    /** How often since the last {@link #detach}. */
    public int count() {
        return count;
    }

    /** Lets the sums be the parameters' gradients: of those that have had any, the others have none. */
    public void attach() {
        checkAttached("attach", false);
        gradients.parameters().forEach(tied -> tied.forEach(parameter -> {
            own.put(parameter, parameter.gradient());
            parameter.gradient(sums.get(tied.getFirst()));
        }));
        attached = true;
    }

    /** Gives the parameters back the gradients that they had, and begins anew. */
    public void detach() {
        checkAttached("detach", true);
        own.forEach(Parameter::gradient);
        own.clear();
        gradients.map(MapOperation.zero(Column.STATE));
        sums.clear();
        count = 0;
        attached = false;
    }

    /** The stream on which sums are ordered: that of the optimizer, if it is not the default. */
    public void stream(Stream ordered) {
        gradients.stream(ordered);
    }

    private void checkAttached(String call, boolean expected) {
        if (attached != expected) {
            throw PanoptimException.invalid(NAME + "." + call, expected ? "the sums are not the parameters' gradients: call attach() first"
                    : "the parameters' gradients are the sums: call detach() first");
        }
    }

    /** Frees the sums, which must not be the parameters' gradients any more. */
    @Override
    public void close() {
        gradients.close();
        memory.close();
    }
}
