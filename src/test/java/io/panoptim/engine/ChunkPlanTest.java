package io.panoptim.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.engine.ChunkPlan.Range;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ChunkPlanTest {
    @ParameterizedTest
    @ValueSource(ints = {1024, 4096, 16384})
    void chunksCoverEachRangeOnceInOrder(int chunk) {
        List<Range> ranges = List.of(new Range(0, 0, 0), new Range(0, 0, 1), new Range(0, 0, 16384), new Range(0, 0, 100_003),
                new Range(700, 0, 5000), new Range(0, 1024, 9999), new Range(123, 45, 45), new Range(0, 0, 0));
        ChunkPlan plan = ChunkPlan.of(ranges, chunk);
        int next = 0;
        for (int tensor = 0; tensor < ranges.size(); tensor++) {
            Range range = ranges.get(tensor);
            for (long at = range.begin(); at < range.end(); next++) {
                assertEquals(tensor, plan.tensors()[next]);
                assertEquals(at, plan.starts()[next]);
                at += plan.lengths()[next];
                assertTrue(plan.lengths()[next] > 0 && plan.lengths()[next] <= chunk);
                assertTrue(at == range.end() || (range.origin() + at) % chunk == 0, "cuts lie on global multiples");
            }
        }
        assertEquals(plan.size(), next);
    }

    @Test
    void tensorsPastTwoToTheThirtyOneAreCutWithoutOverflow() {
        long elements = (1L << 40) + 17;
        int chunk = 1 << 30;
        ChunkPlan plan = ChunkPlan.of(List.of(new Range(1L << 41, 0, elements)), chunk);
        assertEquals(1025, plan.size());
        assertEquals(1L << 40, plan.starts()[1024]);
        assertEquals(17, plan.lengths()[1024]);
    }

    @Test
    void chunksAreMultiplesOfTheLeaf() {
        assertThrows(IllegalArgumentException.class, () -> ChunkPlan.of(List.of(), 1000));
        assertThrows(IllegalArgumentException.class, () -> ChunkPlan.of(List.of(), 0));
    }
}
