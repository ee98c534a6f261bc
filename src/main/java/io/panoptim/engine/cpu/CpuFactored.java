package io.panoptim.engine.cpu;

import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredImage;
import io.panoptim.engine.FactoredStep;
import io.panoptim.engine.Stream;
import io.panoptim.ffi.panoptim_factored;
import io.panoptim.ffi.panoptim_factored_block;
import io.panoptim.ffi.panoptim_factored_step;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** A step of factored second moments as the native library reads it. */
final class CpuFactored extends FactoredStep {
    private final CpuEngine engine;
    private final Arena arena = Arena.ofShared();
    private final FactoredImage image;
    private final MemorySegment partials;
    private final MemorySegment sums;
    private final GuardedCalls parts;

    CpuFactored(CpuEngine engine, List<Factored> tensors) {
        super(engine, tensors, false);
        this.engine = engine;
        image = new FactoredImage(this, IntStream.range(0, tensors.size()).boxed().toList(), arena);
        for (int i = 0; i < tensors.size(); i++) {
            Factored tensor = tensors.get(i);
            int bytes = tensor.value().dtype().computeType().bytes();
            panoptim_factored.row_factors(image.record(i), arena.allocate(Math.max(1, tensor.batch() * tensor.rows()) * bytes, 64).address());
            panoptim_factored.column_factors(image.record(i), arena.allocate(Math.max(1, tensor.batch() * tensor.columns()) * bytes, 64)
                    .address());
        }
        sums = arena.allocate(ValueLayout.JAVA_DOUBLE, Math.max(1, blocks().size()));
        partials = arena.allocate(ValueLayout.JAVA_DOUBLE, Math.max(1, image.partials()));
        parts = new GuardedCalls(tensors.size(), this::memory, this::part);
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
        panoptim_factored_step.tensors(step, image.records());
        panoptim_factored_step.blocks(step, image.blocks());
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
        image.pointed(tensor);
        parts.moved(tensors().get(tensor).gradient());
    }

    @Override
    protected void step(List<Scalars> scalars, Stream stream) {
        image.tell(scalars);
        engine.run(this);
    }

    @Override
    protected double lastRms(int tensor) {
        return panoptim_factored.rms(image.record(tensor));
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
