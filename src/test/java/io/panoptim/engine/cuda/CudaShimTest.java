package io.panoptim.engine.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The stand-in for the driver finds what it is there to find. */
@Tag("native")
class CudaShimTest {
    private static final int INVALID_VALUE = 1;
    private static final int OUT_OF_MEMORY = 2;
    private static final int NOT_INITIALIZED = 3;
    private static final int INVALID_IMAGE = 200;
    private static final int INVALID_CONTEXT = 201;
    private static final int NOT_FOUND = 500;
    private static final int ILLEGAL_ADDRESS = 700;
    private static final int LAUNCH_FAILED = 719;
    private static final int CAPTURE_UNSUPPORTED = 900;
    private static final int CAPTURE_INVALIDATED = 901;
    private static final int THREADS = 256;

    private final Arena arena = Arena.ofConfined();
    private CudaShim shim;
    private MemorySegment context;
    private MemorySegment module;
    private MemorySegment stream;

    @BeforeEach
    void open() {
        shim = CudaShim.open();
        assertEquals(NOT_INITIALIZED, shim.call("cuDeviceGetCount", arena.allocate(JAVA_INT)));
        shim.check("cuInit", 0);
        assertEquals(INVALID_CONTEXT, shim.call("cuMemAlloc_v2", arena.allocate(JAVA_LONG), 1L));
        context = MemorySegment.ofAddress(shim.get("cuDevicePrimaryCtxRetain", 0));
        shim.check("cuCtxSetCurrent", context);
        module = MemorySegment.ofAddress(shim.get("cuModuleLoadData", arena.allocateFrom("//\n.version 8.0")));
        stream = MemorySegment.ofAddress(shim.get("cuStreamCreate", 1));
    }

    @AfterEach
    void close() {
        if (shim != null) {
            shim.check("cuDevicePrimaryCtxRelease_v2", 0);
            assertEquals(0, shim.count("allocations") + shim.count("streams") + shim.count("modules"));
            shim.close();
        }
        arena.close();
    }

    private long allocate(long bytes) {
        return shim.get("cuMemAlloc_v2", bytes);
    }

    private int launch(String kernel, int blocks, MemorySegment... parameters) {
        MemorySegment function = MemorySegment.ofAddress(shim.get("cuModuleGetFunction", module, arena.allocateFrom(kernel)));
        return shim.call("cuLaunchKernel", function, blocks, 1, 1, THREADS, 1, 1, 0, stream, pointers(parameters), MemorySegment.NULL);
    }

    private MemorySegment pointers(MemorySegment... parameters) {
        MemorySegment pointers = arena.allocate(ADDRESS, parameters.length);
        for (int i = 0; i < parameters.length; i++) {
            pointers.setAtIndex(ADDRESS, i, parameters[i]);
        }
        return pointers;
    }

    private MemorySegment parameter(long value) {
        return arena.allocateFrom(JAVA_LONG, value);
    }

    private int synchronize() {
        return shim.call("cuStreamSynchronize", stream);
    }

    private int[] ints(long address, int count) {
        MemorySegment host = arena.allocate(JAVA_INT, count);
        shim.check("cuMemcpyDtoH_v2", host, address, host.byteSize());
        return host.toArray(JAVA_INT);
    }

    private byte first(long address) {
        MemorySegment host = arena.allocate(1);
        shim.check("cuMemcpyDtoH_v2", host, address, 1L);
        return host.get(JAVA_BYTE, 0);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 32, 100, 255})
    void aBarrierThatSomeThreadsDoNotReachIsAFault(int threads) {
        assertEquals(0, launch("panoptim_test_barrier_not_reached", 1, parameter(THREADS)));
        assertEquals(0, synchronize());
        launch("panoptim_test_barrier_not_reached", 1, parameter(threads));
        assertEquals(LAUNCH_FAILED, synchronize());
        assertTrue(shim.message().contains("a barrier that not all threads of the block reach"), shim.message());
        assertEquals(LAUNCH_FAILED, shim.call("cuMemAlloc_v2", arena.allocate(JAVA_LONG), 1L), "nothing works after a fault");
        shim.reset();
    }

    @Test
    void aShuffleThatSomeLanesDoNotReachIsAFault() {
        assertEquals(0, launch("panoptim_test_shuffle_not_reached", 1, parameter(32)));
        assertEquals(0, synchronize());
        launch("panoptim_test_shuffle_not_reached", 1, parameter(31));
        assertEquals(LAUNCH_FAILED, synchronize());
        assertTrue(shim.message().contains("a shuffle that not all lanes of its mask reach"), shim.message());
        shim.reset();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void halvesOfAWarpShuffleEachForItself(int backwards) {
        shim.set("backwards", backwards);
        long sums = allocate(2 * THREADS * 4);
        assertEquals(0, launch("panoptim_test_divergent_shuffles", 2, parameter(sums)));
        int[] expected = IntStream.range(0, 2 * THREADS).map(i -> i % THREADS / 16 * 256 + 120).toArray();
        assertArrayEquals(expected, ints(sums, 2 * THREADS));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void theLastBlockByItsTicketSeesWhatAllHaveWritten(int backwards) {
        shim.set("backwards", backwards);
        int blocks = 9;
        long counts = allocate(blocks * 4);
        long ticket = allocate(8);
        shim.check("cuMemsetD8_v2", counts, (byte) 0, blocks * 4L);
        shim.check("cuMemsetD8_v2", ticket, (byte) 0, 8L);
        for (int launch = 1; launch <= 2; launch++) {
            int launches = launch;
            assertEquals(0, launch("panoptim_test_tickets", blocks, parameter(counts), parameter(ticket), parameter(ticket + 4)));
            int sum = THREADS * (THREADS - 1) / 2;
            assertEquals(0, ints(ticket, 1)[0], "drawn anew by the next launch");
            assertEquals(blocks * sum * (launch == 1 ? 1 : 3), ints(ticket + 4, 1)[0]);
            assertArrayEquals(IntStream.generate(() -> sum).limit(blocks).map(count -> launches * count).toArray(), ints(counts, blocks));
        }
    }

    @Test
    void memoryWrittenBesidesAnAllocationIsAFault() {
        assumeFalse(CudaShim.sanitized(), "the sanitizer ends the process");
        long address = allocate(100);
        assertEquals(0, launch("panoptim_test_write", 1, parameter(address + 99)));
        assertEquals(1, first(address + 99));
        launch("panoptim_test_write", 1, parameter(address + 100));
        assertEquals(ILLEGAL_ADDRESS, synchronize());
        assertTrue(shim.message().contains("written after an allocation of 100 bytes"), shim.message());
        shim.reset();
    }

    @Test
    void copiesOutsideOfAllocationsAreRefused() {
        long address = allocate(100);
        MemorySegment host = arena.allocate(200);
        shim.check("cuMemcpyHtoD_v2", address + 50, host, 50L);
        assertEquals(INVALID_VALUE, shim.call("cuMemcpyHtoD_v2", address + 50, host, 51L));
        assertEquals(INVALID_VALUE, shim.call("cuMemcpyHtoD_v2", host.address(), host, 1L), "a host's address");
        assertEquals(INVALID_VALUE, shim.call("cuMemcpyDtoH_v2", MemorySegment.ofAddress(address), address, 1L), "a device's address");
        assertEquals(INVALID_VALUE, shim.call("cuMemFree_v2", address + 1));
        shim.check("cuMemFree_v2", address);
        assertEquals(INVALID_VALUE, shim.call("cuMemcpyHtoD_v2", address, host, 1L), "freed");
        assertEquals(INVALID_VALUE, shim.call("cuMemFree_v2", address), "twice");
    }

    @Test
    void memoryIsLimited() {
        shim.set("memory", 1000);
        long address = allocate(600);
        assertEquals(OUT_OF_MEMORY, shim.call("cuMemAlloc_v2", arena.allocate(JAVA_LONG), 401L));
        shim.check("cuMemFree_v2", address);
        allocate(1000);
    }

    @Test
    void aLazyStreamRunsWhenItIsWaitedFor() {
        shim.set("lazy", 1);
        long address = allocate(8);
        shim.check("cuMemsetD8_v2", address, (byte) 7, 8L);
        shim.check("cuCtxSynchronize");
        launch("panoptim_test_write", 1, parameter(address));
        assertEquals(7, first(address), "a synchronous copy does not wait for a stream of its own");
        assertEquals(0, synchronize());
        assertEquals(1, first(address));
    }

    @Test
    void aStreamWaitsForAnothersEvent() {
        shim.set("lazy", 1);
        long address = allocate(8);
        shim.check("cuMemsetD8Async", address, (byte) 7, 8L, stream);
        MemorySegment event = MemorySegment.ofAddress(shim.get("cuEventCreate", 2));
        shim.check("cuEventRecord", event, stream);
        assertEquals(600, shim.call("cuEventQuery", event), "not ready");
        shim.check("cuMemsetD8Async", address, (byte) 8, 8L, stream);
        MemorySegment other = MemorySegment.ofAddress(shim.get("cuStreamCreate", 1));
        shim.check("cuStreamWaitEvent", other, event, 0);
        shim.check("cuStreamSynchronize", other);
        assertEquals(7, first(address));
        assertEquals(0, synchronize());
        assertEquals(8, first(address));
        shim.check("cuEventDestroy_v2", event);
    }

    @Test
    void aCopyThatRunsAfterItsMemoryWasFreedIsAFault() {
        shim.set("lazy", 1);
        long address = allocate(8);
        shim.check("cuMemcpyHtoDAsync_v2", address, arena.allocate(8), 8L, stream);
        shim.check("cuMemFree_v2", address);
        assertEquals(ILLEGAL_ADDRESS, synchronize());
        shim.reset();
    }

    @Test
    void pinnedMemoryIsReadWhenTheCopyRunsAndOtherMemoryAtOnce() {
        shim.set("lazy", 1);
        long address = allocate(2);
        MemorySegment pinned = MemorySegment.ofAddress(shim.get("cuMemHostAlloc", 1L, 0)).reinterpret(1);
        MemorySegment pageable = arena.allocate(1);
        shim.check("cuMemcpyHtoDAsync_v2", address, pinned.fill((byte) 1), 1L, stream);
        shim.check("cuMemcpyHtoDAsync_v2", address + 1, pageable.fill((byte) 1), 1L, stream);
        pinned.fill((byte) 2);
        pageable.fill((byte) 2);
        assertEquals(0, synchronize());
        assertEquals(2, first(address));
        assertEquals(1, first(address + 1));
        shim.check("cuMemFreeHost", pinned);
    }

    @Test
    void aGraphReplaysWhatWasCapturedWithItsParameters() {
        long address = allocate(2);
        shim.check("cuMemsetD8_v2", address, (byte) 0, 2L);
        shim.check("cuStreamBeginCapture_v2", stream, 1);
        MemorySegment parameter = parameter(address);
        assertEquals(0, launch("panoptim_test_write", 1, parameter));
        parameter.set(JAVA_LONG, 0, 0);
        MemorySegment captured = arena.allocate(ADDRESS);
        shim.check("cuStreamEndCapture", stream, captured);
        MemorySegment graph = captured.get(ADDRESS, 0);
        assertEquals(0, first(address), "nothing has run");
        MemorySegment exec = MemorySegment.ofAddress(shim.get("cuGraphInstantiateWithFlags", graph, 0L));
        shim.check("cuGraphLaunch", exec, stream);
        assertEquals(1, first(address));

        MemorySegment count = arena.allocateFrom(JAVA_LONG, 1);
        MemorySegment node = arena.allocate(ADDRESS);
        shim.check("cuGraphGetNodes", graph, node, count);
        MemorySegment parameters = arena.allocate(72, 8);
        shim.check("cuGraphKernelNodeGetParams_v2", node.get(ADDRESS, 0), parameters);
        parameters.set(ADDRESS, 40, pointers(parameter(address + 1)));
        shim.check("cuGraphExecKernelNodeSetParams_v2", exec, node.get(ADDRESS, 0), parameters);
        shim.check("cuMemsetD8_v2", address, (byte) 0, 2L);
        shim.check("cuGraphLaunch", exec, stream);
        assertEquals(0, first(address));
        assertEquals(1, first(address + 1));
        shim.check("cuGraphExecDestroy", exec);
        shim.check("cuGraphDestroy", graph);
    }

    @Test
    void waitingBreaksACapture() {
        shim.check("cuStreamBeginCapture_v2", stream, 1);
        assertEquals(CAPTURE_UNSUPPORTED, synchronize());
        assertEquals(CAPTURE_INVALIDATED, shim.call("cuStreamEndCapture", stream, arena.allocate(ADDRESS)));
    }

    @Test
    void resultsAreGivenAsOrdered() {
        shim.fail("cuMemAlloc_v2", 1, OUT_OF_MEMORY);
        allocate(1);
        assertEquals(OUT_OF_MEMORY, shim.call("cuMemAlloc_v2", arena.allocate(JAVA_LONG), 1L));
        long address = allocate(1);
        shim.fail("kernel", 0, LAUNCH_FAILED);
        assertEquals(0, launch("panoptim_test_write", 1, parameter(address)));
        assertEquals(LAUNCH_FAILED, synchronize());
        shim.reset();
    }

    @Test
    void imagesAreTakenByTheirBeginning() {
        MemorySegment fatBinary = arena.allocateFrom(JAVA_INT, 0xba55ed50);
        shim.check("cuModuleUnload", MemorySegment.ofAddress(shim.get("cuModuleLoadData", fatBinary)));
        shim.set("refuse_fat_binary", INVALID_IMAGE);
        MemorySegment result = arena.allocate(ADDRESS);
        assertEquals(INVALID_IMAGE, shim.call("cuModuleLoadData", result, fatBinary));
        assertEquals(INVALID_IMAGE, shim.call("cuModuleLoadData", result, arena.allocateFrom("no image")));
        assertEquals(NOT_FOUND, shim.call("cuModuleGetFunction", result, module, arena.allocateFrom("panoptim_step_none")));
    }
}
