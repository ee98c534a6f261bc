package io.panoptim.engine.cuda;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.NativeResource;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import jcuda.JCudaVersion;
import jcuda.LibUtils;
import jcuda.driver.CUdevice;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/** NVIDIA's driver, through JCuda: loaded on first use, for the life of the process. */
public final class CudaDriver {
    static final String LIBRARY = "libcuda.so.1";

    /** JCuda's class cannot be touched again after a failure, so the first and only reason is kept. */
    private static final class Loaded {
        static final Optional<String> FAILURE = load(LIBRARY);
    }

    /**
     * One GPU.
     *
     * @param index the driver's number for it
     * @param name the maker's
     * @param memory in bytes
     * @param major of the compute capability
     * @param minor of the compute capability
     */
    public record Gpu(int index, String name, long memory, int major, int minor) {}

    private CudaDriver() {}

    /** Why there is no CUDA here; empty when there is. */
    public static Optional<String> unavailable() {
        return Loaded.FAILURE;
    }

    /** The newest CUDA that the driver supports, such as {@code 12.4}. */
    public static String version() {
        requireLoaded();
        int[] version = new int[1];
        check("cuDriverGetVersion", JCudaDriver.cuDriverGetVersion(version));
        return version[0] / 1000 + "." + version[0] % 1000 / 10;
    }

    /** The GPUs that this process may use. */
    public static List<Gpu> gpus() {
        requireLoaded();
        int[] count = new int[1];
        check("cuDeviceGetCount", JCudaDriver.cuDeviceGetCount(count));
        return IntStream.range(0, count[0]).mapToObj(CudaDriver::gpu).toList();
    }

    private static Gpu gpu(int index) {
        CUdevice device = new CUdevice();
        check("cuDeviceGet", JCudaDriver.cuDeviceGet(device, index));
        byte[] name = new byte[256];
        check("cuDeviceGetName", JCudaDriver.cuDeviceGetName(name, name.length, device));
        long[] memory = new long[1];
        check("cuDeviceTotalMem", JCudaDriver.cuDeviceTotalMem(memory, device));
        return new Gpu(index, new String(name, StandardCharsets.UTF_8).split("\0", 2)[0], memory[0],
                attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
    }

    private static int attribute(CUdevice device, int attribute) {
        int[] value = new int[1];
        check("cuDeviceGetAttribute", JCudaDriver.cuDeviceGetAttribute(value, attribute, device));
        return value[0];
    }

    /** Looks for the driver before JCuda is touched, so that its absence is a sentence and not a broken class. */
    static Optional<String> load(String library) {
        try {
            if (SymbolLookup.libraryLookup(library, Arena.global()).find("cuInit").isEmpty()) {
                return Optional.of(library + " is not NVIDIA's driver: it has no cuInit");
            }
        } catch (IllegalArgumentException missing) {
            return Optional.of(library + " cannot be loaded: install NVIDIA's driver, or start the container with its GPUs "
                    + "(docker run --gpus all)");
        }
        String fileName = LibUtils.createLibraryFileName(
                LibUtils.createPlatformLibraryName("JCudaDriver-" + JCudaVersion.get()));
        URL binding = CudaDriver.class.getResource("/lib/" + fileName);
        if (binding == null) {
            return Optional.of("JCuda's " + fileName + " is not on the class path: org.jcuda:jcuda-natives has it, for x86-64 "
                    + "only");
        }
        try {
            return initialize(NativeResource.unpack(binding, fileName));
        } catch (IOException failure) {
            return Optional.of("JCuda's " + fileName + " cannot be unpacked: " + failure);
        }
    }

    /**
     * JCuda unpacks its library into the temporary folder, under a name that anyone can guess, and loads whatever lies
     * there already. For this one moment that folder is the one where the library has just been checked.
     */
    private static Optional<String> initialize(Path binding) {
        String temporaryFolder = System.getProperty("java.io.tmpdir");
        System.setProperty("java.io.tmpdir", binding.getParent().toString());
        try {
            int result = JCudaDriver.cuInit(0);
            return result == CUresult.CUDA_SUCCESS ? Optional.empty() : Optional.of("cuInit: " + CUresult.stringFor(result));
        } catch (LinkageError refused) {
            return Optional.of(binding + " cannot be loaded: " + refused);
        } finally {
            System.setProperty("java.io.tmpdir", temporaryFolder);
        }
    }

    private static void requireLoaded() {
        unavailable().ifPresent(reason -> {
            throw new PanoptimException(Code.UNAVAILABLE, "CUDA", reason);
        });
    }

    private static void check(String call, int result) {
        if (result != CUresult.CUDA_SUCCESS) {
            throw new PanoptimException(Code.FAULT, call, CUresult.stringFor(result));
        }
    }
}
