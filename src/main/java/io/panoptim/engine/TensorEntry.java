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
 * @param states one tensor per state slot that the rule uses here, shaped like the value; then, if the rule has states that
 *     elements share, one of them all: float64, for each of them one value, or one for each row
 * @param others further columns by their number in {@link Column}: masters, averages, scales, …
 * @param origin the global index of element 0, when the value is a slice of something larger
 * @param begin first element to step
 * @param end one past the last element to step
 * @param id stays the tensor's own in every table: random numbers and statistics go by it, and entries with one id are slices
 *     of one tensor, which a rule's sums are taken over
 * @param rows how many rows the value has for a rule that takes sums over each; otherwise without meaning
 * @param codes by slot, of the states that are quantised: what the bytes stand for, in units of the scales among {@code others}
 */
public record TensorEntry(String name, Tensor value, @Nullable Tensor gradient, List<Tensor> states,
                          Map<Integer, Tensor> others, long origin, long begin, long end, long id, long rows,
                          Map<Integer, StateCode> codes) {
    public TensorEntry {
        states = List.copyOf(states);
        others = Map.copyOf(others);
        codes = Map.copyOf(codes);
        if (origin < 0 || origin > Long.MAX_VALUE - value.elements() || begin < 0 || begin > end || end > value.elements()) {
            throw PanoptimException.invalid("TensorEntry '" + name + "'", "the range [" + begin + ", " + end
                    + ") from origin " + origin + " does not lie in the tensor's " + value.elements() + " elements");
        }
        if (rows < 1 || value.elements() % rows != 0) {
            throw PanoptimException.invalid("TensorEntry '" + name + "'", value + " does not have " + rows + " rows");
        }
    }

    /** A tensor without quantised states. */
    public TensorEntry(String name, Tensor value, @Nullable Tensor gradient, List<Tensor> states, Map<Integer, Tensor> others,
                       long origin, long begin, long end, long id, long rows) {
        this(name, value, gradient, states, others, origin, begin, end, id, rows, Map.of());
    }

    /** The whole of a tensor, with the columns that every rule knows. */
    public TensorEntry(String name, Tensor value, @Nullable Tensor gradient, List<Tensor> states, long id) {
        this(name, value, gradient, states, id, 1);
    }

    /** The whole of a tensor that has rows. */
    public TensorEntry(String name, Tensor value, @Nullable Tensor gradient, List<Tensor> states, long id, long rows) {
        this(name, value, gradient, states, Map.of(), 0, 0, value.elements(), id, rows);
    }

    /** What the bytes of a column stand for, or null where it holds numbers. */
    @Nullable StateCode code(int column) {
        return codes.get(column - Column.STATE);
    }

    /** The slots of states with one value for each element. */
    int slots(@Nullable Rule rule) {
        return states.size() - (rule == null || rule.sharedStates().isEmpty() ? 0 : 1);
    }
}
