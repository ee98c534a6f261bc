package io.panoptim.bench;

import io.panoptim.engine.cuda.CudaDriver;
import io.panoptim.ffi.cuda_driver;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a launch costs the CPU, of a kernel that finds nothing to do: through the Foreign Function & Memory API, with its argument written
 * anew; through JCuda as it is used commonly, with pointers made for each launch; and through JCuda with pointers that are kept. The stream
 * is empty before each hundred, so that no launch waits for room in it. With {@code -Dpanoptim.cuda.driver} on the stand-in for a driver, and
 * {@code PANOPTIM_CUDA_SHIM=kernels=0} in the environment, it is the bindings' cost alone that differs.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 10, time = 1)
@Fork(value = 2, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class LaunchBenchmark {
    private static final int LAUNCHES = 100;
    private static final int SIZE = 96; // of ProductArguments in kernels/products.cu: all zeros are no matrices

    private static final class Function extends CUfunction {
        MemorySegment address() {
            return MemorySegment.ofAddress(getNativePointer());
        }
    }

    private final CUstream stream = new CUstream();
    private final CUmodule module = new CUmodule();
    private final Function function = new Function();
    private final byte[] argument = new byte[SIZE];
    private final Arena arena = Arena.ofShared();
    private final MemorySegment segment = arena.allocate(SIZE, 8);
    private final MemorySegment parameters = arena.allocate(ValueLayout.ADDRESS);
    private CUdevice device;
    private MemorySegment address;
    private Pointer kept;
    private double gamma;

    @Setup(Level.Trial)
    public void open() throws IOException {
        CudaDriver.unavailable().ifPresent(reason -> {
            throw new IllegalStateException(reason);
        });
        device = new CUdevice();
        CUcontext context = new CUcontext();
        check(JCudaDriver.cuDeviceGet(device, 0));
        check(JCudaDriver.cuDevicePrimaryCtxRetain(context, device));
        check(JCudaDriver.cuCtxSetCurrent(context));
        check(JCudaDriver.cuModuleLoadData(module, image()));
        check(JCudaDriver.cuModuleGetFunction(function, module, "panoptim_product_identity_float32"));
        address = function.address();
        parameters.set(ValueLayout.ADDRESS, 0, segment);
        kept = Pointer.to(Pointer.to(argument));
    }

    private static byte[] image() throws IOException {
        String folder = System.getProperty("panoptim.cuda.kernels");
        if (folder != null) {
            return Files.readAllBytes(Path.of(folder, "products.fatbin"));
        }
        try (InputStream in = CudaDriver.class.getResourceAsStream("/META-INF/cuda/products.fatbin")) {
            return in.readAllBytes();
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        check(JCudaDriver.cuModuleUnload(module));
        check(JCudaDriver.cuDevicePrimaryCtxRelease(device));
        arena.close();
    }

    @Setup(Level.Invocation)
    public void waitForTheDevice() {
        check(JCudaDriver.cuStreamSynchronize(stream));
    }

    @Benchmark
    @OperationsPerInvocation(LAUNCHES)
    public void ffm() {
        for (int i = 0; i < LAUNCHES; i++) {
            segment.set(ValueLayout.JAVA_DOUBLE, 80, gamma++);
            check(cuda_driver.cuLaunchKernel(address, 1, 1, 1, 256, 1, 1, 0, MemorySegment.NULL, parameters, MemorySegment.NULL));
        }
    }

    @Benchmark
    @OperationsPerInvocation(LAUNCHES)
    public void jcuda() {
        for (int i = 0; i < LAUNCHES; i++) {
            argument[80]++;
            check(JCudaDriver.cuLaunchKernel(function, 1, 1, 1, 256, 1, 1, 0, stream, Pointer.to(Pointer.to(argument)), null));
        }
    }

    @Benchmark
    @OperationsPerInvocation(LAUNCHES)
    public void jcudaWithPointersKept() {
        for (int i = 0; i < LAUNCHES; i++) {
            argument[80]++;
            check(JCudaDriver.cuLaunchKernel(function, 1, 1, 1, 256, 1, 1, 0, stream, kept, null));
        }
    }

    private static void check(int result) {
        if (result != 0) {
            throw new IllegalStateException("the driver says " + result);
        }
    }
}
