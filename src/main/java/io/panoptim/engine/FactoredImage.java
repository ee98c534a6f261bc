package io.panoptim.engine;

import io.panoptim.engine.FactoredStep.Block;
import io.panoptim.engine.FactoredStep.Scalars;
import io.panoptim.ffi.panoptim_factored;
import io.panoptim.ffi.panoptim_factored_block;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A step of factored second moments as the C structures of {@code kernels/table.h}: read in place on the CPU, copied to other devices. */
public final class FactoredImage {
    private final FactoredStep step;
    private final MemorySegment records;
    private final MemorySegment blocks;
    /** Where each tensor's record is among these. */
    private final int[] places;
    private long matrices;
    private long partials;

    /**
     * Writes the tensors, in an order, and their blocks, in the same, into an arena. Where their factors lie is not known yet.
     *
     * @param order the tensors' numbers
     */
    public FactoredImage(FactoredStep step, List<Integer> order, Arena arena) {
        this.step = step;
        this.places = new int[order.size()];
        this.records = panoptim_factored.allocateArray(Math.max(1, order.size()), arena);
        this.blocks = panoptim_factored_block.allocateArray(Math.max(1, step.blocks().size()), arena);
        int block = 0;
        for (int place = 0; place < order.size(); place++) {
            int tensor = order.get(place);
            places[tensor] = place;
            List<Block> own = step.blocks().subList(step.firstBlock(tensor), step.firstBlock(tensor + 1));
            write(step.tensors().get(tensor), record(tensor), block, own.size());
            pointed(tensor);
            for (Block each : own) {
                write(each, place, panoptim_factored_block.asSlice(blocks, block++));
            }
        }
    }

    private void write(Factored tensor, MemorySegment to, int firstBlock, int count) {
        panoptim_factored.value(to, tensor.value().address());
        panoptim_factored.row_average(to, address(tensor.rowAverage()));
        panoptim_factored.column_average(to, address(tensor.columnAverage()));
        panoptim_factored.average(to, address(tensor.average()));
        panoptim_factored.value_dtype(to, (byte) tensor.value().dtype().ordinal());
        panoptim_factored.compute(to, (byte) tensor.value().dtype().computeType().ordinal());
        panoptim_factored.batch(to, tensor.batch());
        panoptim_factored.rows(to, tensor.rows());
        panoptim_factored.columns(to, tensor.columns());
        panoptim_factored.first_block(to, firstBlock);
        panoptim_factored.blocks(to, count);
        panoptim_factored.first_matrix(to, matrices);
        matrices += tensor.batch();
        if (tensor.rowAverage() != null && !FactoredStep.isWhole(tensor)) {
            long rowBlocks = FactoredStep.rowBlocks(tensor);
            panoptim_factored.row_partials(to, partials);
            partials += tensor.batch() * tensor.rows() * FactoredStep.columnBlocks(tensor);
            panoptim_factored.column_partials(to, partials);
            partials += tensor.batch() * rowBlocks * (tensor.columns() + 1); // on a device what rows add up to comes after the columns
        }
    }

    private static long address(@Nullable Tensor tensor) {
        return tensor == null ? 0 : tensor.address();
    }

    /**
     * Writes a block.
     *
     * @param place of its tensor's record
     */
    public static void write(Block block, int place, MemorySegment to) {
        panoptim_factored_block.tensor(to, place);
        panoptim_factored_block.matrix(to, block.matrix());
        panoptim_factored_block.matrices(to, block.matrices());
        panoptim_factored_block.row(to, block.row());
        panoptim_factored_block.rows(to, block.rows());
        panoptim_factored_block.column(to, block.column());
        panoptim_factored_block.columns(to, block.columns());
    }

    /** A tensor's {@code panoptim_factored}. */
    public MemorySegment record(int tensor) {
        return panoptim_factored.asSlice(records, places[tensor]);
    }

    /** The place of a tensor's record among all. */
    public int place(int tensor) {
        return places[tensor];
    }

    /** All tensors' {@code panoptim_factored[]}. */
    public MemorySegment records() {
        return records;
    }

    /** The {@code panoptim_factored_block[]}. */
    public MemorySegment blocks() {
        return blocks;
    }

    /** How many sums are kept between passes. */
    public long partials() {
        return partials;
    }

    /** How many matrices all tensors have. */
    public long matrices() {
        return matrices;
    }

    /** A tensor's gradient lies elsewhere. */
    public void pointed(int tensor) {
        Tensor gradient = step.tensors().get(tensor).gradient();
        panoptim_factored.gradient(record(tensor), gradient.address());
        panoptim_factored.gradient_dtype(record(tensor), (byte) gradient.dtype().ordinal());
    }

    /** Writes what a step is told, for each tensor. */
    public void tell(List<Scalars> all) {
        for (int i = 0; i < places.length; i++) {
            MemorySegment to = record(i);
            Scalars scalars = all.get(i);
            panoptim_factored.flags(to, scalars.isScaled() ? panoptim_h.PANOPTIM_FACTORED_SCALED() : 0);
            panoptim_factored.lr(to, scalars.lr());
            panoptim_factored.average_weight(to, scalars.averageWeight());
            panoptim_factored.square_eps(to, scalars.squareEps());
            panoptim_factored.mean_floor(to, scalars.meanFloor());
            panoptim_factored.factor_limit(to, scalars.factorLimit());
            panoptim_factored.clip_threshold(to, scalars.clipThreshold());
            panoptim_factored.scale_eps(to, scalars.scaleEps());
            panoptim_factored.decay(to, scalars.decay());
            panoptim_factored.scaled_decay(to, scalars.scaledDecay());
            panoptim_factored.momentum(to, scalars.momentum());
        }
    }
}
