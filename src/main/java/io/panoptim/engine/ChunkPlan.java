package io.panoptim.engine;

import io.panoptim.ffi.panoptim_h;
import java.util.List;

/**
 * How the elements of a table are cut into pieces of work: at multiples, counted from each tensor's global element 0,
 * of a chunk length that is itself a multiple of the leaf.
 *
 * @param tensors for each chunk its tensor's index
 * @param starts for each chunk its first element
 * @param lengths for each chunk its number of elements
 */
public record ChunkPlan(int[] tensors, long[] starts, int[] lengths) {
    /** The number of elements of the fixed blocks that reductions and chunks are made of. */
    public static final int LEAF = panoptim_h.PANOPTIM_LEAF();

    /** What is cut: the elements of one tensor from begin to end. */
    public sealed interface Piecewise {
        long begin();

        long end();

        /** The number of chunks. */
        long count(int chunk);

        /** The first element of a chunk. */
        long start(long index, int chunk);
    }

    /** A range of one tensor, whose element 0 has a global index. */
    public record Range(long origin, long begin, long end) implements Piecewise {
        @Override
        public long count(int chunk) {
            return begin == end ? 0 : Math.ceilDiv(origin + end, chunk) - (origin + begin) / chunk;
        }

        @Override
        public long start(long index, int chunk) {
            return Math.max(begin, ((origin + begin) / chunk + index) * chunk - origin);
        }
    }

    /** The rows of a tensor: a chunk has whole rows, or a part of one that begins at a multiple of the leaf. */
    public record RowRange(long rows, long columns) implements Piecewise {
        @Override
        public long begin() {
            return 0;
        }

        @Override
        public long end() {
            return rows * columns;
        }

        @Override
        public long count(int chunk) {
            return columns == 0 ? 0 : columns > chunk ? rows * Math.ceilDiv(columns, chunk) : Math.ceilDiv(rows, chunk / columns);
        }

        @Override
        public long start(long index, int chunk) {
            long inRow = Math.ceilDiv(columns, chunk);
            return columns > chunk ? index / inRow * columns + index % inRow * chunk : index * (chunk / columns) * columns;
        }
    }

    /**
     * Cuts ranges into chunks.
     *
     * @param chunk the largest number of elements in a chunk, a multiple of {@link #LEAF}
     */
    public static ChunkPlan of(List<? extends Piecewise> ranges, int chunk) {
        if (chunk <= 0 || chunk % LEAF != 0) {
            throw new IllegalArgumentException("chunks are multiples of " + LEAF + " elements, not " + chunk);
        }
        long count = ranges.stream().mapToLong(range -> range.count(chunk)).sum();
        int size = Math.toIntExact(count);
        ChunkPlan plan = new ChunkPlan(new int[size], new long[size], new int[size]);
        int next = 0;
        for (int tensor = 0; tensor < ranges.size(); tensor++) {
            Piecewise range = ranges.get(tensor);
            long chunks = range.count(chunk);
            for (long i = 0; i < chunks; i++) {
                long start = range.start(i, chunk);
                long end = i + 1 < chunks ? range.start(i + 1, chunk) : range.end();
                plan.tensors[next] = tensor;
                plan.starts[next] = start;
                plan.lengths[next] = (int) (end - start);
                next++;
            }
        }
        return plan;
    }

    /** The number of chunks. */
    public int size() {
        return tensors.length;
    }
}
