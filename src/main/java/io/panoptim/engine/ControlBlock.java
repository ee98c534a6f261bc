package io.panoptim.engine;

import io.panoptim.ffi.panoptim_control;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A {@code panoptim_control} in the CPU's memory: what engines keep there, or copy from their devices. */
public final class ControlBlock {
    private ControlBlock() {}

    /** One with a scale of 1, in which nothing has been measured. */
    public static MemorySegment allocate(Arena arena) {
        MemorySegment block = panoptim_control.allocate(arena);
        panoptim_control.size(block, (int) panoptim_control.sizeof());
        panoptim_control.scale(block, 1);
        panoptim_control.inverse_scale(block, 1);
        panoptim_control.clip_float32(block, 1);
        panoptim_control.clip_float64(block, 1);
        panoptim_control.hysteresis_tracker(block, 1);
        return block;
    }

    /** Whether an overflow was found. */
    public static boolean foundInf(MemorySegment block) {
        return panoptim_control.found_inf(block) != 0;
    }

    /** What it holds now. */
    public static Control.Values values(MemorySegment block) {
        return new Control.Values(panoptim_control.scale(block), panoptim_control.inverse_scale(block), foundInf(block),
                panoptim_control.norm(block), panoptim_control.clip_float32(block), panoptim_control.growth_tracker(block),
                panoptim_control.hysteresis_tracker(block), panoptim_control.applied(block), panoptim_control.skipped(block));
    }
}
