package io.panoptim.engine.cuda;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;

import io.panoptim.PanoptimException;
import io.panoptim.engine.cuda.CudaException.Problem;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import jcuda.driver.CUdevice;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/**
 * NVIDIA's driver, loaded on first use, for the life of the process. Devices, contexts, memory, modules, streams and events are made
 * and destroyed through JCuda; what is called for every step, or takes a stream that may be another library's, goes through the
 * Foreign Function & Memory API ({@link StreamCalls}), as JCuda can wrap no such stream and allocates in each launch.
 */
public final class CudaDriver {
    /** The driver's file, where it is not found by its usual name. */
    public static final String PROPERTY = "panoptim.cuda.driver";

    static final String LIBRARY = "libcuda.so.1";
    /** The oldest driver whose interface this library uses: that of CUDA 12.0. */
    private static final int OLDEST = 12000;

    /** JCuda's class cannot be touched again after a failure, so the first and only reason is kept. */
    private static final class Loaded {
        static final Optional<Failure> FAILURE = load(System.getProperty(PROPERTY, LIBRARY));
    }

    /** Why there is no driver. */
    record Failure(Problem problem, String reason) {}

    /**
     * One GPU.
     *
     * @param index the driver's number for it
     * @param name the maker's
     * @param memory in bytes
     * @param major of the compute capability
     * @param minor of the compute capability
     * @param multiprocessors how many
     */
    public record Gpu(int index, String name, long memory, int major, int minor, int multiprocessors) {
        /** Such as {@code sm_90}. */
        public String architecture() {
            return "sm_" + capability();
        }

        /** Such as 90. */
        int capability() {
            return 10 * major + minor;
        }
    }

    private CudaDriver() {}

    /** Why there is no CUDA here; empty when there is. */
    public static Optional<String> unavailable() {
        return Loaded.FAILURE.map(Failure::reason);
    }

    /** The newest CUDA that the driver supports, such as {@code 12.4}. */
    public static String version() {
        requireLoaded();
        return text(versionNumber());
    }

    /** The major version of the newest CUDA that the driver supports. */
    static int major() {
        return versionNumber() / 1000;
    }

    private static int versionNumber() {
        int[] version = new int[1];
        check("cuDriverGetVersion", JCudaDriver.cuDriverGetVersion(version));
        return version[0];
    }

    private static String text(int version) {
        return version / 1000 + "." + version % 1000 / 10;
    }

    /** The driver's file. */
    public static Path file() {
        requireLoaded();
        return LoadedLibraries.file(LIBRARY).orElse(Path.of(LIBRARY));
    }

    /** The GPUs that this process may use. */
    public static List<Gpu> gpus() {
        requireLoaded();
        int[] count = new int[1];
        check("cuDeviceGetCount", JCudaDriver.cuDeviceGetCount(count));
        return IntStream.range(0, count[0]).mapToObj(index -> gpu(device(index), index)).toList();
    }

    /** The driver's handle of a GPU. */
    static CUdevice device(int index) {
        requireLoaded();
        CUdevice device = new CUdevice();
        check("cuDeviceGet", JCudaDriver.cuDeviceGet(device, index));
        return device;
    }

    static Gpu gpu(CUdevice device, int index) {
        byte[] name = new byte[256];
        check("cuDeviceGetName", JCudaDriver.cuDeviceGetName(name, name.length, device));
        long[] memory = new long[1];
        check("cuDeviceTotalMem", JCudaDriver.cuDeviceTotalMem(memory, device));
        return new Gpu(index, new String(name, StandardCharsets.UTF_8).split("\0", 2)[0], memory[0],
                attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
                attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT));
    }

    private static int attribute(CUdevice device, int attribute) {
        int[] value = new int[1];
        check("cuDeviceGetAttribute", JCudaDriver.cuDeviceGetAttribute(value, attribute, device));
        return value[0];
    }

    /** Looks for the driver before JCuda is touched, so that its absence is a sentence and not a broken class. */
    static Optional<Failure> load(String library) {
        try {
            SymbolLookup symbols = library.contains("/") ? SymbolLookup.libraryLookup(Path.of(library), Arena.global())
                    : SymbolLookup.libraryLookup(library, Arena.global());
            if (symbols.find("cuInit").isEmpty()) {
                return failure(Problem.NO_DRIVER, library + " is not NVIDIA's driver: it has no cuInit");
            }
        } catch (IllegalArgumentException missing) {
            return failure(Problem.NO_DRIVER, library + " cannot be loaded: install NVIDIA's driver, or start the container with its "
                    + "GPUs (docker run --gpus all)");
        }
        try {
            return JCudaNative.of("JCudaDriver").touch(CudaDriver::initialize);
        } catch (PanoptimException missing) {
            return failure(Problem.NO_DRIVER, String.valueOf(missing.getMessage()));
        }
    }

    private static Optional<Failure> initialize() {
        int result = JCudaDriver.cuInit(0);
        if (result != CUresult.CUDA_SUCCESS) {
            return failure(Problem.of(result), "cuInit: " + name(result) + " (" + result + ")");
        }
        int version = versionNumber();
        return version >= OLDEST ? Optional.empty() : failure(Problem.DRIVER_TOO_OLD, "the driver is for CUDA " + text(version)
                + ": install one for CUDA 12.0 or newer");
    }

    private static Optional<Failure> failure(Problem problem, String reason) {
        return Optional.of(new Failure(problem, reason));
    }

    static void requireLoaded() {
        Loaded.FAILURE.ifPresent(failure -> {
            throw CudaException.of(failure.problem, "CUDA", failure.reason);
        });
    }

    /** The driver's name of a result. */
    static String name(int result) {
        String[] name = new String[1];
        return JCudaDriver.cuGetErrorName(result, name) == CUresult.CUDA_SUCCESS && name[0] != null ? name[0]
                : CUresult.stringFor(result);
    }

    private static void check(String call, int result) {
        if (result != CUresult.CUDA_SUCCESS) {
            throw CudaException.of(result, name(result), call, () -> "the CUDA driver");
        }
    }
}
