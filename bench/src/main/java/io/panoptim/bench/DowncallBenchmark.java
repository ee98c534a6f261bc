package io.panoptim.bench;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a call from Java to native code costs through the Foreign Function & Memory API, of functions of the C library that do next to nothing:
 * an ordinary call; a critical one, during which the garbage collector waits; one on memory whose arena may be closed, which an ordinary call
 * keeps open; and a critical one on the Java heap, which needs no copy.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 2, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class DowncallBenchmark {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final FunctionDescriptor ABS = FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
    private static final FunctionDescriptor STRNLEN = FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG);
    private static final MethodHandle PLAIN = handle("abs", ABS);
    private static final MethodHandle CRITICAL = handle("abs", ABS, Linker.Option.critical(false));
    private static final MethodHandle PLAIN_ON_MEMORY = handle("strnlen", STRNLEN);
    private static final MethodHandle CRITICAL_ON_MEMORY = handle("strnlen", STRNLEN, Linker.Option.critical(false));
    private static final MethodHandle CRITICAL_ON_HEAP = handle("strnlen", STRNLEN, Linker.Option.critical(true));

    private final MemorySegment global = Arena.global().allocate(1);
    private final MemorySegment shared = Arena.ofShared().allocate(1);
    private final MemorySegment heap = MemorySegment.ofArray(new byte[1]);

    private static MethodHandle handle(String name, FunctionDescriptor descriptor, Linker.Option... options) {
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), descriptor, options);
    }

    @Benchmark
    public int call() throws Throwable {
        return (int) PLAIN.invokeExact(-1);
    }

    @Benchmark
    public int critical() throws Throwable {
        return (int) CRITICAL.invokeExact(-1);
    }

    @Benchmark
    public long onGlobalMemory() throws Throwable {
        return (long) PLAIN_ON_MEMORY.invokeExact(global, 1L);
    }

    @Benchmark
    public long onSharedMemory() throws Throwable {
        return (long) PLAIN_ON_MEMORY.invokeExact(shared, 1L);
    }

    @Benchmark
    public long criticalOnSharedMemory() throws Throwable {
        return (long) CRITICAL_ON_MEMORY.invokeExact(shared, 1L);
    }

    @Benchmark
    public long criticalOnTheHeap() throws Throwable {
        return (long) CRITICAL_ON_HEAP.invokeExact(heap, 1L);
    }
}
