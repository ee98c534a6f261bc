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

    /** A range of one tensor, whose element 0 has a global index. */
    public record Range(long origin, long begin, long end) {
        private long firstCut(int chunk) {
            return (origin + begin) / chunk;
        }

        private long lastCut(int chunk) {
            return begin == end ? firstCut(chunk) : Math.ceilDiv(origin + end, chunk);
        }
    }

    /**
     * Cuts ranges into chunks.
     *
     * @param chunk the largest number of elements in a chunk, a multiple of {@link #LEAF}
     */
    public static ChunkPlan of(List<Range> ranges, int chunk) {
        if (chunk <= 0 || chunk % LEAF != 0) {
            throw new IllegalArgumentException("chunks are multiples of " + LEAF + " elements, not " + chunk);
        }
        long count = ranges.stream().mapToLong(range -> range.lastCut(chunk) - range.firstCut(chunk)).sum();
        int size = Math.toIntExact(count);
        ChunkPlan plan = new ChunkPlan(new int[size], new long[size], new int[size]);
        int next = 0;
        for (int tensor = 0; tensor < ranges.size(); tensor++) {
            Range range = ranges.get(tensor);
            for (long cut = range.firstCut(chunk); cut < range.lastCut(chunk); cut++) {
                long start = Math.max(range.begin, cut * chunk - range.origin);
                long end = Math.min(range.end, (cut + 1) * chunk - range.origin);
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
