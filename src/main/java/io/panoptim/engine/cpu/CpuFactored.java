package io.panoptim.engine.cpu;

import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredStep;
import io.panoptim.ffi.panoptim_factored;
import io.panoptim.ffi.panoptim_factored_block;
import io.panoptim.ffi.panoptim_factored_step;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A step of factored second moments as the native library reads it. */
final class CpuFactored extends FactoredStep {
    private final CpuEngine engine;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment records;
    private final MemorySegment blocks;
    private final MemorySegment partials;
    private final MemorySegment sums;
    private final GuardedCalls parts;

    CpuFactored(CpuEngine engine, List<Factored> tensors) {
        super(engine, tensors, false);
        this.engine = engine;
        records = panoptim_factored.allocateArray(Math.max(1, tensors.size()), arena);
        blocks = panoptim_factored_block.allocateArray(Math.max(1, blocks().size()), arena);
        sums = arena.allocate(ValueLayout.JAVA_DOUBLE, Math.max(1, blocks().size()));
        long scratch = 0;
        for (int i = 0; i < tensors.size(); i++) {
            scratch += fill(i, scratch);
        }
        partials = arena.allocate(ValueLayout.JAVA_DOUBLE, Math.max(1, scratch));
        for (int i = 0; i < blocks().size(); i++) {
            fill(panoptim_factored_block.asSlice(blocks, i), blocks().get(i));
        }
        parts = new GuardedCalls(tensors.size(), this::memory, this::part);
    }

    /** How many sums are kept between passes. */
    private long fill(int number, long scratch) {
        Factored tensor = tensors().get(number);
        MemorySegment to = panoptim_factored.asSlice(records, number);
        panoptim_factored.value(to, tensor.value().address());
        panoptim_factored.row_average(to, address(tensor.rowAverage()));
        panoptim_factored.column_average(to, address(tensor.columnAverage()));
        panoptim_factored.average(to, address(tensor.average()));
        panoptim_factored.value_dtype(to, (byte) tensor.value().dtype().ordinal());
        panoptim_factored.compute(to, (byte) tensor.value().dtype().computeType().ordinal());
        panoptim_factored.batch(to, tensor.batch());
        panoptim_factored.rows(to, tensor.rows());
        panoptim_factored.columns(to, tensor.columns());
        panoptim_factored.first_block(to, firstBlock(number));
        panoptim_factored.blocks(to, firstBlock(number + 1) - firstBlock(number));
        int bytes = tensor.value().dtype().computeType().bytes();
        panoptim_factored.row_factors(to, arena.allocate(Math.max(1, tensor.batch() * tensor.rows()) * bytes, 64).address());
        panoptim_factored.column_factors(to, arena.allocate(Math.max(1, tensor.batch() * tensor.columns()) * bytes, 64).address());
        pointed(number, to);
        if (tensor.rowAverage() == null || isWhole(tensor)) {
            return 0;
        }
        long rowSums = tensor.batch() * tensor.rows() * columnBlocks(tensor);
        panoptim_factored.row_partials(to, scratch);
        panoptim_factored.column_partials(to, scratch + rowSums);
        return rowSums + tensor.batch() * rowBlocks(tensor) * tensor.columns();
    }

    private static long address(@Nullable Tensor tensor) {
        return tensor == null ? 0 : tensor.address();
    }

    private static void fill(MemorySegment to, Block block) {
        panoptim_factored_block.tensor(to, block.tensor());
        panoptim_factored_block.matrix(to, block.matrix());
        panoptim_factored_block.matrices(to, block.matrices());
        panoptim_factored_block.row(to, block.row());
        panoptim_factored_block.rows(to, block.rows());
        panoptim_factored_block.column(to, block.column());
        panoptim_factored_block.columns(to, block.columns());
    }

    private void memory(long tensor, Consumer<@Nullable Tensor> each) {
        tensors().get((int) tensor).tensors().forEach(each);
    }

    /** A {@code panoptim_factored_step} of some of the tensors. */
    private MemorySegment part(long begin, long end) {
        MemorySegment step = panoptim_factored_step.allocate(Arena.ofAuto());
        panoptim_factored_step.size(step, (int) panoptim_factored_step.sizeof());
        panoptim_factored_step.record_size(step, (int) panoptim_factored.sizeof());
        panoptim_factored_step.block_size(step, (int) panoptim_factored_block.sizeof());
        panoptim_factored_step.tensors(step, records);
        panoptim_factored_step.blocks(step, blocks);
        panoptim_factored_step.begin(step, begin);
        panoptim_factored_step.end(step, end);
        panoptim_factored_step.first_block(step, firstBlock((int) begin));
        panoptim_factored_step.end_block(step, firstBlock((int) end));
        panoptim_factored_step.partials(step, partials);
        panoptim_factored_step.sums(step, sums);
        return step;
    }

    @Override
    protected void pointed(int tensor) {
        pointed(tensor, panoptim_factored.asSlice(records, tensor));
        parts.moved(tensors().get(tensor).gradient());
    }

    private void pointed(int number, MemorySegment to) {
        Tensor gradient = tensors().get(number).gradient();
        panoptim_factored.gradient(to, gradient.address());
        panoptim_factored.gradient_dtype(to, (byte) gradient.dtype().ordinal());
    }

    @Override
    protected void step(List<Scalars> scalars, double[] newRms) {
        for (int i = 0; i < newRms.length; i++) {
            fill(panoptim_factored.asSlice(records, i), scalars.get(i));
        }
        engine.run(this);
        for (int i = 0; i < newRms.length; i++) {
            newRms[i] = panoptim_factored.rms(panoptim_factored.asSlice(records, i));
        }
    }

    private static void fill(MemorySegment to, Scalars scalars) {
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

    /** The calls that it takes, in order. */
    GuardedCalls parts() {
        return parts;
    }

    /** Refuses when the memory that it works on is closed, or another thread's. */
    void check() {
        checkAccessible();
    }

    @Override
    protected void free() {
        arena.close();
    }
}
