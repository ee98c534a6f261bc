package io.panoptim.tensor;

import io.panoptim.ffi.memory_map;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A shared arena whose large segments lie on huge pages wherever Linux gives them to those who ask (transparent huge pages set to
 * {@code madvise}, as most distributions do, or {@code always}): a pass over several tensors then waits less for the processor to find
 * their pages. Segments are aligned to huge pages, so that none is larger for it. Elsewhere, and where there are none, it is as any other.
 * Large segments take memory when they are first written to, and do not count among what {@code -XX:MaxDirectMemorySize} limits.
 *
 * <p>The CPU engine's own memory is such an arena; parameters and gradients gain as much from being allocated in one.
 */
public final class HugePageArena implements Arena {
    /** From here on segments ask for huge pages, as NumPy's arrays do. */
    static final long LARGE = 4L << 20;
    /** Of a huge page of most processors. */
    static final long PAGE = 2L << 20;

    private static final boolean LINUX = System.getProperty("os.name").equals("Linux");
    private static final long FAILED = -1;

    private final Arena arena = Arena.ofShared();

    private HugePageArena() {}

    /** An arena that all threads may use, and any may close. */
    public static Arena ofShared() {
        return new HugePageArena();
    }

    @Override
    public MemorySegment allocate(long byteSize, long byteAlignment) {
        boolean aligns = byteAlignment > 0 && byteAlignment <= PAGE && Long.bitCount(byteAlignment) == 1;
        return LINUX && byteSize >= LARGE && aligns ? allocateLarge(byteSize, byteAlignment) : arena.allocate(byteSize, byteAlignment);
    }

    private MemorySegment allocateLarge(long byteSize, long byteAlignment) {
        if (byteSize > Long.MAX_VALUE - PAGE) {
            return arena.allocate(byteSize, byteAlignment); // which refuses
        }
        long length = byteSize + PAGE;
        MemorySegment mapped = memory_map.mmap(MemorySegment.NULL, length, memory_map.PROT_READ() | memory_map.PROT_WRITE(),
                memory_map.MAP_PRIVATE() | memory_map.MAP_ANONYMOUS(), -1, 0);
        if (mapped.address() == FAILED) {
            return arena.allocate(byteSize, byteAlignment);
        }
        MemorySegment aligned = MemorySegment.ofAddress((mapped.address() + PAGE - 1) & -PAGE);
        memory_map.madvise(aligned, byteSize & -PAGE, memory_map.MADV_HUGEPAGE()); // a kernel that has none goes on with small ones
        try {
            return aligned.reinterpret(byteSize, arena, segment -> memory_map.munmap(mapped, length));
        } catch (RuntimeException | Error closed) {
            memory_map.munmap(mapped, length);
            throw closed;
        }
    }

    @Override
    public MemorySegment.Scope scope() {
        return arena.scope();
    }

    @Override
    public void close() {
        arena.close();
    }
}
