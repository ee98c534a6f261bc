package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A step of some tensors whose second moments are factored, as Adafactor has it ({@code kernels/factored.h}), prepared once to be run any
 * number of times. It goes over the gradients three times: for the sums over rows and columns, for the size of the updates, and for
 * the updates. Sums are in float64 and in a fixed order, so that all engines, with any number of threads, have the same bits.
 */
public abstract class FactoredStep implements AutoCloseable {
    /**
     * What a step is told, before rounding.
     *
     * @param lr step size, negative to ascend
     * @param averageWeight of the squares in their averages, 1 - beta2
     * @param squareEps added to the squares
     * @param meanFloor the least mean of the rows' averages to divide by
     * @param factorLimit the most that gradients are multiplied by: 1 over the least root of a second moment
     * @param clipThreshold root mean square from which on updates are scaled down to it
     * @param isScaled whether the step size is multiplied by the root mean square of the values
     * @param scaleEps that root mean square, at least
     * @param decay relative shrinking of the values
     * @param scaledDecay what is added to that, over the step size
     * @param momentum decay rate of the average of the updates, if there is one
     */
    public record Scalars(double lr, double averageWeight, double squareEps, double meanFloor, double factorLimit, double clipThreshold,
                          boolean isScaled, double scaleEps, double decay, double scaledDecay, double momentum) {}

    /**
     * A part of one matrix, or some whole ones if they are small: sums are taken block by block.
     *
     * @param tensor its number
     * @param matrix the first
     * @param matrices how many
     * @param row the first
     * @param rows how many
     * @param column the first
     * @param columns how many
     */
    public record Block(int tensor, long matrix, long matrices, long row, long rows, long column, long columns) {}

    /** Where refusals come from. */
    protected static final String CALL = "Engine.factoredStep";

    private static final long ROWS = panoptim_h.PANOPTIM_FACTORED_ROWS();
    private static final long COLUMNS = panoptim_h.PANOPTIM_FACTORED_COLUMNS();
    private static final long PIECE = panoptim_h.PANOPTIM_FACTORED_PIECE();
    private static final long PIECES = panoptim_h.PANOPTIM_FACTORED_PIECES();

    private final TableEngine engine;
    private final Reach reach;
    private final List<Factored> tensors;
    private final List<Block> blocks = new ArrayList<>();
    private final int[] firstBlocks;
    private final Spans spans = new Spans();
    private final AtomicBoolean busy = new AtomicBoolean();
    private boolean closed;

    /**
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    protected FactoredStep(TableEngine engine, List<Factored> tensors, boolean acceptsHeap) {
        this.engine = engine;
        this.reach = new Reach(engine, acceptsHeap);
        this.tensors = new ArrayList<>(tensors);
        this.firstBlocks = new int[tensors.size() + 1];
        for (Factored tensor : tensors) {
            check(tensor);
            spans.take(CALL, tensor.value(), "the value of '" + tensor.name() + "'");
            tensor.states().forEach(state -> spans.take(CALL, state, "a state of '" + tensor.name() + "'"));
            takeGradient(tensor);
        }
        for (int i = 0; i < tensors.size(); i++) {
            cut(i, tensors.get(i));
            firstBlocks[i + 1] = blocks.size();
        }
    }

    private void check(Factored tensor) {
        for (Tensor memory : tensor.tensors()) {
            String label = "'" + tensor.name() + "' or its state";
            reach.checkDevice(CALL, label, memory.device());
            memory.checkAccessible(CALL, label);
            reach.checkAddress(CALL, label, memory);
        }
    }

    private void takeGradient(Factored tensor) {
        spans.take(CALL, tensor.gradient(), label(tensor));
    }

    private static String label(Factored moving) {
        return "the gradient of '" + moving.name() + "'";
    }

    private void cut(int number, Factored tensor) {
        if (tensor.value().elements() == 0) {
            return;
        }
        if (isWhole(tensor)) {
            long together = Math.max(1, PIECES / (tensor.rows() * Math.ceilDiv(tensor.columns(), PIECE)));
            for (long matrix = 0; matrix < tensor.batch(); matrix += together) {
                blocks.add(new Block(number, matrix, Math.min(together, tensor.batch() - matrix), 0, tensor.rows(), 0, tensor.columns()));
            }
            return;
        }
        for (long matrix = 0; matrix < tensor.batch(); matrix++) {
            for (long row = 0; row < tensor.rows(); row += ROWS) {
                for (long column = 0; column < tensor.columns(); column += COLUMNS) {
                    blocks.add(new Block(number, matrix, 1, row, Math.min(ROWS, tensor.rows() - row), column,
                            Math.min(COLUMNS, tensor.columns() - column)));
                }
            }
        }
    }

    /** Whether each matrix lies within one block. */
    protected static boolean isWhole(Factored tensor) {
        return tensor.rows() <= ROWS && tensor.columns() <= COLUMNS;
    }

    /** Into how many blocks a matrix's rows are cut. */
    protected static long rowBlocks(Factored tensor) {
        return Math.ceilDiv(tensor.rows(), ROWS);
    }

    /** Into how many its columns are. */
    protected static long columnBlocks(Factored tensor) {
        return Math.ceilDiv(tensor.columns(), COLUMNS);
    }

    public final List<Factored> tensors() {
        return tensors;
    }

    /** All blocks, each tensor's one after the other. */
    public final List<Block> blocks() {
        return blocks;
    }

    /** A tensor's first block; the number of blocks after the last tensor. */
    public final int firstBlock(int tensor) {
        return firstBlocks[tensor];
    }

    /**
     * Some gradients lie elsewhere; nothing changes if any of them is refused.
     *
     * @param moved for each tensor whose gradient moved its new place
     */
    public final void gradients(Map<Integer, Tensor> moved) {
        enter();
        try {
            Map<Integer, Factored> after = new HashMap<>();
            moved.forEach((tensor, gradient) -> after.put(tensor, tensors.get(tensor).withGradient(gradient)));
            after.values().forEach(this::check);
            after.keySet().forEach(tensor -> spans.remove(tensors.get(tensor).gradient())); // all, since some may change places
            List<Tensor> taken = new ArrayList<>();
            try {
                for (Factored tensor : after.values()) {
                    takeGradient(tensor);
                    taken.add(tensor.gradient());
                }
            } catch (PanoptimException refused) {
                taken.forEach(spans::remove);
                after.keySet().forEach(tensor -> spans.add(tensors.get(tensor).gradient(), label(tensors.get(tensor))));
                throw refused;
            }
            after.forEach(tensors::set);
            after.keySet().forEach(this::pointed);
        } finally {
            busy.set(false);
        }
    }

    /** Takes the plan for the duration of a call, or refuses. */
    private void enter() {
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, CALL, "another thread is using this plan: use it from one thread at a time");
        }
        if (closed) {
            busy.set(false);
            throw new PanoptimException(Code.CLOSED, CALL, "it is closed");
        }
    }

    /**
     * Steps all tensors.
     *
     * @param scalars for each tensor
     */
    public final void run(List<Scalars> scalars, Stream stream) {
        engine.checkStream(CALL, stream);
        enter();
        try {
            if (scalars.size() != tensors.size()) {
                throw PanoptimException.invalid(CALL, scalars.size() + " rows of scalars for " + tensors.size() + " tensors");
            }
            step(scalars, stream);
        } finally {
            busy.set(false);
        }
    }

    /** The root mean square of a tensor's values before the last step: waits for that; NaN when the plan is closed. */
    public final double rms(int tensor) {
        return closed ? Double.NaN : lastRms(tensor);
    }

    /** The same of a plan that is open; 0 before the first step, and of what is empty. */
    protected abstract double lastRms(int tensor);

    /** Refuses memory that is closed or another thread's. */
    protected final void checkAccessible() {
        for (Factored tensor : tensors) {
            tensor.tensors().forEach(memory -> memory.checkAccessible(CALL, "'" + tensor.name() + "' or its state"));
        }
    }

    /** Carries a step out. */
    protected abstract void step(List<Scalars> scalars, Stream stream);

    /** A tensor's gradient lies elsewhere. */
    protected void pointed(int tensor) {}

    /** Frees what the engine attached. */
    protected void free() {}

    /** Frees the plan, not the tensors; idempotent, and refused while a step is running: close it again later. */
    @Override
    public final void close() {
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, CALL, "a step is running: close it again later");
        }
        try {
            if (!closed) {
                free();
                closed = true;
            }
        } finally {
            busy.set(false);
        }
    }
}
