package io.panoptim.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HugePageArenaTest {
    private static final Path SETTING = Path.of("/sys/kernel/mm/transparent_hugepage/enabled");

    @ParameterizedTest
    @ValueSource(longs = {0, 1, 100, HugePageArena.LARGE - 1, HugePageArena.LARGE, HugePageArena.LARGE + 12})
    void segmentsAreZerosOfTheirSizeAndGoWithTheArena(long bytes) {
        Arena arena = HugePageArena.ofShared();
        MemorySegment segment = arena.allocate(bytes, 64);
        assertEquals(bytes, segment.byteSize());
        assertEquals(0, segment.address() % 64);
        assertEquals(arena.scope(), segment.scope());
        assertEquals(-1, segment.mismatch(MemorySegment.ofArray(new byte[(int) bytes])));
        segment.fill((byte) 1);
        arena.close();
        assertFalse(segment.scope().isAlive());
        assertThrows(IllegalStateException.class, () -> arena.allocate(bytes, 64));
    }

    @Test
    void largeSegmentsAskForHugePagesUpToTheirLastWholeOne() throws IOException {
        assumeTrue(Files.exists(SETTING), "this system has no transparent huge pages");
        try (Arena arena = HugePageArena.ofShared()) {
            MemorySegment segment = arena.allocate(HugePageArena.LARGE + HugePageArena.PAGE / 2, 64);
            assertEquals(0, segment.address() % HugePageArena.PAGE);
            assertTrue(asksForHugePages(segment.address()));
            assertTrue(asksForHugePages(segment.address() + HugePageArena.LARGE - 1));
            assertFalse(asksForHugePages(segment.address() + HugePageArena.LARGE));
        }
    }

    @Test
    void closingGivesMemoryBack() throws IOException {
        assumeTrue(Files.exists(Path.of("/proc/self/status")), "this system does not say how much memory is mapped");
        long bytes = 1L << 30;
        long before = mapped();
        try (Arena arena = HugePageArena.ofShared()) {
            arena.allocate(bytes, 64).set(ValueLayout.JAVA_BYTE, bytes - 1, (byte) 1);
            assertTrue(mapped() >= before + bytes / 2);
        }
        assertTrue(mapped() < before + bytes / 2);
    }

    @Test
    void whatThereIsNoMemoryForIsRefusedAsByAnyArena() {
        try (Arena arena = HugePageArena.ofShared()) {
            assertThrows(OutOfMemoryError.class, () -> arena.allocate(1L << 60, 64));
            assertThrows(OutOfMemoryError.class, () -> arena.allocate(Long.MAX_VALUE - 100, 64));
            assertThrows(IllegalArgumentException.class, () -> arena.allocate(-1, 64));
            assertThrows(IllegalArgumentException.class, () -> arena.allocate(HugePageArena.LARGE, 3));
            assertThrows(IllegalArgumentException.class, () -> arena.allocate(HugePageArena.LARGE, Long.MIN_VALUE));
        }
    }

    /** Of this process, in bytes. */
    private static long mapped() throws IOException {
        String size = Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith("VmSize:")).findFirst()
                .orElseThrow();
        return Long.parseLong(size.replaceAll("[^0-9]", "")) << 10;
    }

    /** Whether the mapping with an address has Linux's flag hg. */
    private static boolean asksForHugePages(long address) throws IOException {
        List<String> lines = Files.readAllLines(Path.of("/proc/self/smaps"));
        boolean within = false;
        for (String line : lines) {
            String[] range = line.split("[- ]");
            if (line.matches("[0-9a-f]+-[0-9a-f]+ .*")) {
                within = Long.compareUnsigned(Long.parseUnsignedLong(range[0], 16), address) <= 0
                        && Long.compareUnsigned(address, Long.parseUnsignedLong(range[1], 16)) < 0;
            } else if (within && line.startsWith("VmFlags:")) {
                return List.of(line.split(" ")).contains("hg");
            }
        }
        throw new IllegalStateException("no mapping has the address " + Long.toHexString(address));
    }
}
