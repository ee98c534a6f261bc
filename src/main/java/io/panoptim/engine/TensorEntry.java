package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Tensor;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One tensor of a table.
 *
 * @param name for messages
 * @param value what is updated
 * @param gradient or null while there is none
 * @param states one tensor per state slot that the rule uses here, shaped like the value
 * @param others further columns by their number in {@link Column}: masters, averages, scales, …
 * @param origin the global index of element 0, when the value is a slice of something larger
 * @param begin first element to step
 * @param end one past the last element to step
 * @param id stays the tensor's own in every table: random numbers and statistics go by it
 */
public record TensorEntry(String name, Tensor value, @Nullable Tensor gradient, List<Tensor> states,
                          Map<Integer, Tensor> others, long origin, long begin, long end, long id) {
    public TensorEntry {
        states = List.copyOf(states);
        others = Map.copyOf(others);
        if (origin < 0 || origin > Long.MAX_VALUE - value.elements() || begin < 0 || begin > end || end > value.elements()) {
            throw PanoptimException.invalid("TensorEntry '" + name + "'", "the range [" + begin + ", " + end
                    + ") from origin " + origin + " does not lie in the tensor's " + value.elements() + " elements");
        }
    }

    /** The whole of a tensor, with the columns that every rule knows. */
    public TensorEntry(String name, Tensor value, @Nullable Tensor gradient, List<Tensor> states, long id) {
        this(name, value, gradient, states, Map.of(), 0, 0, value.elements(), id);
    }
}
