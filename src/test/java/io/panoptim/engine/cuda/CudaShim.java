package io.panoptim.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The driver that runs the kernels on the host ({@code native/test/cuda}), and what a test orders of it.
 */
public final class CudaShim implements AutoCloseable {
    private static final Map<Class<?>, MemoryLayout> LAYOUTS = Map.of(Integer.class, ValueLayout.JAVA_INT, Long.class,
            ValueLayout.JAVA_LONG, Byte.class, ValueLayout.JAVA_BYTE);

    private final Arena arena = Arena.ofShared();
    private final SymbolLookup library;
    private final Map<String, MethodHandle> functions = new ConcurrentHashMap<>();

    private CudaShim(Path file) {
        library = SymbolLookup.libraryLookup(file, arena);
    }

    /** Where the build puts it. */
    public static Path file() {
        return Path.of("target", sanitized() ? "cuda-shim-sanitize" : "cuda-shim", "out/native/libcuda.so.1").toAbsolutePath();
    }

    /** Whether this process is run under the sanitizers. */
    static boolean sanitized() {
        return System.getenv("ASAN_OPTIONS") != null;
    }

    /** Loads one of one's own, or skips the test where there was no C++ compiler to build it. */
    public static CudaShim open() {
        requireBuilt();
        try {
            Path copy = Files.createTempFile("libcuda", ".so.1"); // another file is another library
            try {
                return new CudaShim(Files.copy(file(), copy, StandardCopyOption.REPLACE_EXISTING));
            } finally {
                Files.delete(copy);
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    /** Loads it for everybody: whoever asks for {@code libcuda.so.1} from now on, as JCuda does, shares this one. */
    public static CudaShim shared() {
        requireBuilt();
        CudaShim shim = new CudaShim(file());
        shim.reset();
        return shim;
    }

    private static void requireBuilt() {
        assumeTrue(Files.exists(file()), () -> file() + " was not built: there is no C++ compiler");
    }

    /** Calls a function, whose parameters are those of the arguments' types, and returns its result. */
    public int call(String function, Object... arguments) {
        MethodHandle handle = functions.computeIfAbsent(function, name -> {
            MemoryLayout[] layouts = Arrays.stream(arguments)
                    .map(argument -> LAYOUTS.getOrDefault(argument.getClass(), ValueLayout.ADDRESS)).toArray(MemoryLayout[]::new);
            return Linker.nativeLinker().downcallHandle(library.find(name).orElseThrow(() -> new AssertionError("no " + name)),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, layouts));
        });
        try {
            return (int) handle.invokeWithArguments(arguments);
        } catch (Throwable failure) {
            throw new AssertionError(function, failure);
        }
    }

    /** The same, and it must succeed. */
    public void check(String function, Object... arguments) {
        int result = call(function, arguments);
        assertEquals(0, result, () -> function + ": " + message());
    }

    /** A function's result through a pointer, which is its first parameter. */
    public long get(String function, Object... arguments) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment result = own.allocate(ValueLayout.JAVA_LONG);
            Object[] all = new Object[arguments.length + 1];
            all[0] = result;
            System.arraycopy(arguments, 0, all, 1, arguments.length);
            check(function, all);
            return result.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    /** Changes a setting of {@code control.cpp}. */
    public void set(String setting, long value) {
        try (Arena own = Arena.ofConfined()) {
            assertEquals(0, call("panoptim_test_set", own.allocateFrom(setting), value), setting);
        }
    }

    /** A setting, or how much there is of something: {@code allocations}, {@code streams}, {@code launches}, …. */
    public long count(String what) {
        try (Arena own = Arena.ofConfined()) {
            return (long) Linker.nativeLinker().downcallHandle(library.findOrThrow("panoptim_test_get"),
                    FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS)).invokeWithArguments(own.allocateFrom(what));
        } catch (Throwable failure) {
            throw new AssertionError(what, failure);
        }
    }

    /** After so many calls of it, a function gives a result and does nothing; {@code kernel} is any kernel while it runs. */
    public void fail(String function, int afterCalls, int result) {
        try (Arena own = Arena.ofConfined()) {
            call("panoptim_test_fail", own.allocateFrom(function), afterCalls, result);
        }
    }

    /** All settings as at first, nothing ordered to fail, and no fault. */
    public void reset() {
        call("panoptim_test_reset");
    }

    /** Why the last fault was one. */
    public String message() {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment text = own.allocate(1000);
            call("panoptim_test_message", text, 1000);
            return text.getString(0);
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
