package io.panoptim.engine.cpu;

import io.panoptim.engine.Column;
import io.panoptim.engine.TableImage;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/** The native calls that one verb takes over a table, and the arenas that must stay open during each. */
final class CpuParts {
    private final CpuTable table;
    private final TableImage.Chunks chunks;
    private final IntPredicate touched;
    private final int columns;
    private final GuardedCalls calls;

    /**
     * @param touched which tensors the verb works on
     * @param columns what it touches of them, by bit
     */
    CpuParts(CpuTable table, TableImage image, TableImage.Chunks chunks, IntPredicate touched, int columns) {
        this.table = table;
        this.chunks = chunks;
        this.touched = touched;
        this.columns = columns;
        this.calls = new GuardedCalls(chunks.plan().size(), this::tensors, (first, end) ->
                image.over(chunks, (int) first, (int) (end - first), Arena.ofAuto()));
    }

    /** What to call the native library with, in order. */
    List<GuardedCall> get() {
        return calls.get();
    }

    /** Forgets the guards, which may name arenas that are no longer used. */
    void renew() {
        calls.renew();
    }

    /** What the verb touches, by bit. */
    int columns() {
        return columns;
    }

    /** A column of a tensor has moved. */
    void pointed(int tensor, int column) {
        if ((columns >> column & 1) != 0) {
            calls.moved(table.tensor(tensor, column));
        }
    }

    /** The tensors of a chunk, if it is the first one of its own. */
    private void tensors(long chunk, Consumer<@Nullable Tensor> each) {
        int[] owners = chunks.plan().tensors();
        int owner = owners[(int) chunk];
        if (chunk > 0 && owner == owners[(int) chunk - 1] || !touched.test(owner)) {
            return;
        }
        for (int column = 0; column < Column.COUNT; column++) {
            if ((columns >> column & 1) != 0) {
                each.accept(table.tensor(owner, column));
            }
        }
    }
}
