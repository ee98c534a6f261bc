package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What carries out updates on one device. Every verb is ordered on a stream (on the CPU it is done when it returns),
 * refuses what it cannot do before anything is written, and may be used from any one thread at a time. The verbs with
 * a body here are those that not every engine has: they refuse by name.
 */
public interface Engine {
    /** {@code reference}, {@code cpu} or {@code cuda}. */
    String name();

    /** The device whose memory this engine works on. */
    Device device();

    /** One line for people: instruction set, threads, GPU. */
    String description();

    /**
     * Refuses a tensor that claims to be on this engine's device, and whose address is not. What its elements are is not looked at.
     *
     * @param call for the message
     * @param label for the message: what the tensor is
     */
    default void checkAddress(String call, Object label, Tensor tensor) {}

    /** A new owner of memory on this engine's device. */
    Memory memory();

    /** Copies one tensor's elements into another of the same type and layout, either of them on this engine's device. */
    void copy(Tensor from, Tensor to, Stream stream);

    /** Sets every element of a tensor to a value, rounded once. */
    void fill(Tensor tensor, double value, Stream stream);

    /** Refuses a rule that this engine does not run, as {@link #table(Rule, List)} would: before anything is allocated for it. */
    default void checkRule(Rule rule) {}

    /** Validates a topology, once, and builds its table. */
    Table table(Rule rule, List<TensorEntry> entries);

    /**
     * The same without a rule, for {@link #map} and {@link #reduce}: a tensor may have any number of state slots up to
     * {@link Column#MAX_STATES} and any other column of its shape, and memory of every column must be accessible.
     */
    default Table table(List<TensorEntry> entries) {
        throw unsupported("table without a rule");
    }

    /**
     * One fused pass: every tensor of the table that has a class is updated with that class's row.
     *
     * @param control the block that {@link #measure} wrote: for unscaling, clipping and skipping, otherwise null
     */
    void step(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream);

    /** An operation on each element of a column, in the tensors that have it. */
    default void map(Table table, MapOperation operation, Stream stream) {
        throw unsupported("map");
    }

    /**
     * Norm and finiteness of the gradients of one or several tables, into a control block: of all tensors that have one. The norm's
     * sum is exact over each table and rounded once, and then added up in the tables' order. Slices must be cut at multiples of
     * {@link ChunkPlan#LEAF} elements.
     */
    default void measure(List<Table> tables, Measurement measurement, Control control, Stream stream) {
        throw unsupported("measure");
    }

    /**
     * The separate form of {@link Extras.Part#UNSCALE} and {@link Extras.Part#CLIP}: multiplies all gradients of a table by the inverse
     * loss scale, if that was measured, and then by the clip coefficient, if there is a maximum norm, also where it is 1. Rounds after each.
     * Waits for the device.
     *
     * @param table of tensors of one compute type
     * @param measurement by which the block was written
     */
    default void scaleGradients(Table table, Measurement measurement, Control control, Stream stream) {
        Arithmetic arithmetic = table.arithmetic("Engine.scaleGradients");
        Control.Values measured = control.read();
        if (measurement.unscale()) {
            map(table, MapOperation.scale(Column.GRADIENT, measured.inverseScale()), stream);
        }
        if (measurement.clips()) {
            map(table, MapOperation.scale(Column.GRADIENT, measurement.clip(arithmetic, measured.norm())), stream);
        }
    }

    /** A reduction over a column, of the tensors that have it. Slices must be cut at multiples of {@link ChunkPlan#LEAF} elements. */
    default Reduction.Result reduce(Table table, Reduction reduction, Stream stream) {
        throw unsupported("reduce");
    }

    /**
     * A step in which some tensors have sparse gradients. These are updated in the rows that their gradients name, by a rule of their
     * own and with the class given there; the tensors that have a class as {@link #step} updates them. What is wrong with any of
     * them, an index included, is refused before anything is written.
     *
     * @param rule of the sparse gradients, with the states that the table has
     * @param gradients at most one for each tensor
     */
    default void stepRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows, @Nullable Control control, Extras extras,
                          Stream stream) {
        throw unsupported("stepRows");
    }

    /** Prepares matrix products; refuses what this engine cannot multiply. The plan is the caller's to close. */
    default MatrixProduct.Plan matrixProduct(MatrixProduct product) {
        throw unsupported("matrixProduct");
    }

    /**
     * Prepares products that are run one after the other. Of products with batches of the same size an engine may take a matrix through
     * several before the next matrix, while it lies in the cache, where what has one number in its batch needs results of that number
     * alone.
     */
    default MatrixProduct.Sequence productSequence(List<MatrixProduct.Scaled> products) {
        throw unsupported("productSequence");
    }

    /**
     * Why products of a type are made of others of a wider type, and so no faster than these; nothing if there are instructions for
     * them. Where the engine has no products at all it says so by an exception, as {@link #matrixProduct} does.
     */
    default Optional<String> widens(DType dtype) {
        return Optional.empty();
    }

    /**
     * How many matrices should go through a sequence of products together, before the next ones take over the memory of their
     * intermediate results: few, if caches matter more than the number of calls.
     *
     * @param bytes what one matrix and its intermediate results take
     */
    default long productBatch(long bytes) {
        return Long.MAX_VALUE;
    }

    /**
     * Decomposes matrices in place, when everything before it on the stream is done; done itself when it returns.
     *
     * @throws PanoptimException when one of them is not finite, before anything is written; {@code FAULT} when the search for the
     *     eigenvectors of one does not come to an end, when any of them may be overwritten
     */
    default void decompose(Decomposition decomposition, Stream stream) {
        throw unsupported("decompose");
    }

    /** Prepares a step of tensors with factored second moments (Adafactor); the plan is the caller's to close. */
    default FactoredStep factoredStep(List<Factored> tensors) {
        throw unsupported("factoredStep");
    }

    /** A new loss-scaling domain. */
    default Control control() {
        throw unsupported("control");
    }

    /** Records what is done to a stream instead of doing it. */
    default Graph capture(Stream stream, Runnable work) {
        throw unsupported("capture");
    }

    private PanoptimException unsupported(String verb) {
        return PanoptimException.unsupported("Engine." + verb, "the " + name() + " engine does not have this verb yet");
    }
}
