package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredImage;
import io.panoptim.engine.FactoredStep;
import io.panoptim.engine.Stream;
import io.panoptim.ffi.panoptim_factored;
import io.panoptim.ffi.panoptim_factored_block;
import io.panoptim.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * A step of factored second moments on a CUDA device. All that it is told goes there in one copy; then there are three launches for each
 * compute type, and one more where matrices are larger than a block. Nothing waits.
 */
final class CudaFactored extends FactoredStep {
    private static final long RECORD = panoptim_factored.sizeof();
    private static final long BLOCK = panoptim_factored_block.sizeof();
    private static final long SIZE = 64; // of FactoredArguments in kernels/factored.cu
    /** Of a matrix, for a CUDA block that finishes it: as many as it has threads. */
    private static final long PART = 256;

    /** The launches for one compute type. */
    private final class Launches {
        final int blocks;
        final MemorySegment arguments;
        final int parts;
        final MemorySegment ofParts;
        final MemorySegment sums;
        final MemorySegment matrices;
        final MemorySegment measure;
        final MemorySegment apply;

        /** Over some of the blocks; the numbers are addresses and counts that both arguments have. */
        Launches(DType type, long allBlocks, int first, int blocks, List<Block> finished, long[] common) {
            this.blocks = blocks;
            this.parts = finished.size();
            this.arguments = arguments(allBlocks + first * BLOCK, first, common);
            this.ofParts = arguments(parts == 0 ? 0 : upload(finished), 0, common);
            this.sums = function("sums", type);
            this.matrices = function("matrices", type);
            this.measure = function("measure", type);
            this.apply = function("apply", type);
        }

        private MemorySegment function(String kernel, DType type) {
            return engine.function(CudaKernels.Source.FACTORED, null, "panoptim_factored_" + kernel + "_" + type);
        }

        private MemorySegment arguments(long addressOfBlocks, long first, long[] common) {
            long[] fields = {common[0], addressOfBlocks, common[1], common[2], common[3], common[4], first, tensors().size()};
            MemorySegment pointer = arena.allocate(ValueLayout.ADDRESS);
            pointer.set(ValueLayout.ADDRESS, 0, arena.allocate(SIZE, 8).copyFrom(MemorySegment.ofArray(fields)));
            return pointer;
        }

        private long upload(List<Block> list) {
            try (Arena temporary = Arena.ofConfined()) {
                MemorySegment segment = panoptim_factored_block.allocateArray(list.size(), temporary);
                for (int i = 0; i < list.size(); i++) {
                    FactoredImage.write(list.get(i), image.place(list.get(i).tensor()), panoptim_factored_block.asSlice(segment, i));
                }
                return CudaFactored.this.upload(segment);
            }
        }
    }

    private final CudaEngine engine;
    private final Arena arena = Arena.ofShared();
    private final CudaMemory memory;
    private final UploadRing uploads;
    private final FactoredImage image;
    private final long records;
    private final List<Launches> launches = new ArrayList<>();
    /** Of the last step, once they are asked for. */
    private final double[] rms;
    private boolean isRmsHere = true;
    private long closures;

    CudaFactored(CudaEngine engine, List<Factored> tensors) {
        super(engine, tensors, false);
        this.engine = engine;
        this.memory = engine.memory("factored steps");
        this.uploads = new UploadRing(engine);
        this.rms = new double[tensors.size()];
        try {
            List<Integer> order = IntStream.range(0, tensors.size()).boxed().sorted(Comparator.comparing(this::type)).toList();
            this.image = new FactoredImage(this, order, arena);
            for (int i = 0; i < tensors.size(); i++) {
                Factored tensor = tensors.get(i);
                panoptim_factored.column_factors(image.record(i), memory.zeros(type(i), tensor.batch() * tensor.columns()).address());
            }
            this.records = memory.zeros(DType.UINT8, Math.max(1, tensors.size()) * RECORD).address();
            long[] common = {records, doubles(image.partials()), doubles(blocks().size()), doubles(image.matrices()),
                memory.zeros(DType.UINT8, (tensors.size() + image.matrices()) * Integer.BYTES).address()};
            long allBlocks = blocks().isEmpty() ? 0 : upload(image.blocks());
            int first = 0;
            for (DType type : List.of(DType.FLOAT32, DType.FLOAT64)) {
                List<Integer> own = order.stream().filter(tensor -> type(tensor) == type).toList();
                int count = own.stream().mapToInt(tensor -> firstBlock(tensor + 1) - firstBlock(tensor)).sum();
                if (count > 0) {
                    launches.add(new Launches(type, allBlocks, first, count, own.stream().flatMap(tensor -> parts(tensor).stream()).toList(),
                            common));
                }
                first += count;
            }
        } catch (RuntimeException refused) {
            free();
            throw refused;
        }
    }

    private DType type(int tensor) {
        return tensors().get(tensor).value().dtype().computeType();
    }

    private long doubles(long count) {
        return memory.zeros(DType.FLOAT64, count).address();
    }

    /** New device memory with what lies in a segment; waits until it is copied. */
    private long upload(MemorySegment segment) {
        long address = memory.zeros(DType.UINT8, segment.byteSize()).address();
        engine.calls().copyToDevice(address, segment, segment.byteSize(), engine.sideStream());
        engine.calls().synchronize(engine.sideStream());
        return address;
    }

    /** The rows and the columns of matrices that lie in several blocks, some at a time. */
    private List<Block> parts(int number) {
        List<Block> parts = new ArrayList<>();
        Factored tensor = tensors().get(number);
        if (tensor.rowAverage() == null || isWhole(tensor) || tensor.value().elements() == 0) {
            return parts;
        }
        for (long matrix = 0; matrix < tensor.batch(); matrix++) {
            for (long row = 0; row < tensor.rows(); row += PART) {
                parts.add(new Block(number, matrix, 1, row, Math.min(PART, tensor.rows() - row), 0, 0));
            }
            for (long column = 0; column < tensor.columns(); column += PART) {
                parts.add(new Block(number, matrix, 1, 0, 0, column, Math.min(PART, tensor.columns() - column)));
            }
        }
        return parts;
    }

    @Override
    protected void pointed(int tensor) {
        image.pointed(tensor);
    }

    @Override
    protected void step(List<Scalars> scalars, Stream stream) {
        if (engine.capturing(stream.handle()) != null) {
            throw PanoptimException.unsupported(CALL, "a step of factored second moments cannot be captured: what it is told is computed anew "
                    + "for each step, and a replay would repeat this one's");
        }
        engine.within(CALL, () -> {
            launch(scalars, stream.handle());
            return true;
        });
    }

    private void launch(List<Scalars> scalars, long stream) {
        long now = engine.closures();
        if (now != closures) {
            checkAccessible();
            closures = now;
        }
        if (launches.isEmpty()) {
            return;
        }
        image.tell(scalars);
        long bytes = tensors().size() * RECORD;
        MemorySegment segment = uploads.take(bytes);
        MemorySegment.copy(image.records(), 0, segment, 0, bytes);
        engine.calls().copyToDevice(records, segment, bytes, stream);
        uploads.given(stream);
        isRmsHere = false;
        int given = 0;
        try {
            for (Launches each : launches) {
                engine.launch(each.sums, each.blocks, each.arguments, stream);
                given++;
                if (each.parts > 0) {
                    engine.launch(each.matrices, each.parts, each.ofParts, stream);
                }
                engine.launch(each.measure, each.blocks, each.arguments, stream);
                engine.launch(each.apply, each.blocks, each.arguments, stream);
            }
        } catch (CudaException failed) {
            throw given == 0 ? failed : failed.halfWay();
        }
    }

    /** Waits for the device, once after each step. */
    @Override
    protected double lastRms(int tensor) {
        if (!isRmsHere) {
            engine.within("FactoredStep.rms", () -> {
                try (Arena temporary = Arena.ofConfined()) {
                    MemorySegment there = panoptim_factored.allocateArray(tensors().size(), temporary);
                    engine.context().await(); // the step may be on any stream
                    engine.calls().copyToHost(there, records, there.byteSize(), engine.sideStream());
                    engine.calls().synchronize(engine.sideStream());
                    for (int i = 0; i < rms.length; i++) {
                        rms[i] = panoptim_factored.rms(panoptim_factored.asSlice(there, image.place(i)));
                    }
                }
                return true;
            });
            isRmsHere = true;
        }
        return rms[tensor];
    }

    @Override
    protected void free() {
        engine.within(() -> {
            memory.close();
            uploads.close();
        });
        arena.close();
    }
}
