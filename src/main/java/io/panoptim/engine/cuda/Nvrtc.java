package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.io.IOException;
import java.lang.foreign.AddressLayout;
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
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;

/**
 * NVIDIA's run-time compiler, which needs no GPU: for kernels that the build has not compiled for the device, or in a form that its
 * driver cannot load. Loaded for the life of the process, from a folder in {@value #PATH_PROPERTY}, by its name, or from a toolkit.
 */
final class Nvrtc {
    static final String PATH_PROPERTY = "panoptim.nvrtc.path";
    /** Versions of the toolkit that it is looked for of, the newest first. */
    static final int[] VERSIONS = {13, 12};

    private static final Map<Path, Nvrtc> LOADED = new ConcurrentHashMap<>();
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final AddressLayout POINTER = ValueLayout.ADDRESS;

    private final Path file;
    private final int major;
    private final int minor;
    private final MethodHandle createProgram;
    private final MethodHandle compileProgram;
    private final MethodHandle destroyProgram;
    private final MethodHandle errorString;
    private final Map<String, MethodHandle> outputs = new LinkedHashMap<>();
    private final List<Integer> architectures;

    private Nvrtc(Path file, SymbolLookup symbols) {
        this.file = file;
        this.createProgram = handle(symbols, "nvrtcCreateProgram", POINTER, POINTER, POINTER, INT, POINTER, POINTER);
        this.compileProgram = handle(symbols, "nvrtcCompileProgram", POINTER, INT, POINTER);
        this.destroyProgram = handle(symbols, "nvrtcDestroyProgram", POINTER);
        this.errorString = Linker.nativeLinker().downcallHandle(symbol(symbols, "nvrtcGetErrorString"), FunctionDescriptor.of(POINTER, INT));
        for (String output : new String[] {"nvrtcGetProgramLogSize", "nvrtcGetProgramLog", "nvrtcGetCUBINSize", "nvrtcGetCUBIN"}) {
            outputs.put(output, handle(symbols, output, POINTER, POINTER));
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment numbers = arena.allocate(INT, 2);
            check("nvrtcVersion", call(handle(symbols, "nvrtcVersion", POINTER, POINTER), numbers, numbers.asSlice(4)));
            this.major = numbers.getAtIndex(INT, 0);
            this.minor = numbers.getAtIndex(INT, 1);
            check("nvrtcGetNumSupportedArchs", call(handle(symbols, "nvrtcGetNumSupportedArchs", POINTER), numbers));
            MemorySegment known = arena.allocate(INT, numbers.get(INT, 0));
            check("nvrtcGetSupportedArchs", call(handle(symbols, "nvrtcGetSupportedArchs", POINTER), known));
            this.architectures = Arrays.stream(known.toArray(INT)).boxed().toList();
        }
    }

    /**
     * Finds the compiler of one version of the toolkit.
     *
     * @param tried receives one line for each place where it is not, with the reason
     */
    static Optional<Nvrtc> find(int version, List<String> tried) {
        return new LibrarySearch("libnvrtc.so." + version, version, PATH_PROPERTY, "nvidia-cuda-nvrtc").find(tried,
                file -> LOADED.computeIfAbsent(file, path -> {
                    // Its built-ins, which it opens by their name, come first: on their own nobody would find them there.
                    for (Path builtins : builtins(path)) {
                        SymbolLookup.libraryLookup(builtins, Arena.global());
                    }
                    return new Nvrtc(path, SymbolLookup.libraryLookup(path, Arena.global()));
                }));
    }

    private static List<Path> builtins(Path library) {
        String suffix = library.getFileName().toString().replaceFirst(".*\\.so", ".so"); // .so.13, where theirs ends in .so.13.0
        try (Stream<Path> files = Files.list(library.getParent())) {
            return files.filter(file -> file.getFileName().toString().startsWith("libnvrtc-builtins" + suffix)).sorted().toList();
        } catch (IOException unreadable) {
            return List.of();
        }
    }

    Path file() {
        return file;
    }

    /** Such as {@code 13.0}. */
    String version() {
        return major + "." + minor;
    }

    /** Whether it compiles for a compute capability, such as 90. */
    boolean knows(int architecture) {
        return architectures.contains(architecture);
    }

    /**
     * Compiles a program to machine code.
     *
     * @param headers by the names by which they are included
     * @throws PanoptimException with the compiler's messages
     */
    byte[] compile(String name, String source, Map<String, String> headers, List<String> options) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment program = arena.allocate(POINTER);
            check("nvrtcCreateProgram", call(createProgram, program, arena.allocateFrom(source), arena.allocateFrom(name), headers.size(),
                    strings(headers.values().stream().toList(), arena), strings(headers.keySet().stream().toList(), arena)));
            MemorySegment created = program.get(POINTER, 0);
            try {
                int result = call(compileProgram, created, options.size(), strings(options, arena));
                if (result != 0) {
                    throw new PanoptimException(Code.UNAVAILABLE, "nvrtcCompileProgram", error(result) + " from " + this + ", for " + name
                            + ": " + output("nvrtcGetProgramLog", created, arena).getString(0));
                }
                return output("nvrtcGetCUBIN", created, arena).toArray(ValueLayout.JAVA_BYTE);
            } finally {
                call(destroyProgram, program);
            }
        }
    }

    private static MemorySegment strings(List<String> strings, Arena arena) {
        MemorySegment array = arena.allocate(POINTER, strings.size());
        for (int i = 0; i < strings.size(); i++) {
            array.setAtIndex(POINTER, i, arena.allocateFrom(strings.get(i)));
        }
        return array;
    }

    private MemorySegment output(String function, MemorySegment program, Arena arena) {
        MemorySegment size = arena.allocate(LONG);
        check(function + "Size", call(outputs.get(function + "Size"), program, size));
        MemorySegment bytes = arena.allocate(size.get(LONG, 0));
        check(function, call(outputs.get(function), program, bytes));
        return bytes;
    }

    private void check(String call, int result) {
        if (result != 0) {
            throw new PanoptimException(Code.UNAVAILABLE, call, error(result) + " from " + file);
        }
    }

    private String error(int result) {
        try {
            return ((MemorySegment) errorString.invoke(result)).reinterpret(Long.MAX_VALUE).getString(0) + " (" + result + ")";
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static MethodHandle handle(SymbolLookup symbols, String name, MemoryLayout... parameters) {
        return Linker.nativeLinker().downcallHandle(symbol(symbols, name), FunctionDescriptor.of(INT, parameters));
    }

    private static MemorySegment symbol(SymbolLookup symbols, String name) {
        return symbols.find(name).orElseThrow(() -> new PanoptimException(Code.UNAVAILABLE, "NVRTC", "it has no " + name));
    }

    private static int call(MethodHandle handle, Object... arguments) {
        try {
            return (int) handle.invokeWithArguments(arguments);
        } catch (RuntimeException | Error thrown) {
            throw thrown;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    @Override
    public String toString() {
        return "NVRTC " + version() + " (" + file + ")";
    }
}
