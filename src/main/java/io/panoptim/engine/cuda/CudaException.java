package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.ffi.cublas;
import java.util.function.Supplier;

/** What NVIDIA's driver or cuBLAS refuses, or what there is none of. Its message names the call, the driver's code and the device. */
public final class CudaException extends PanoptimException {
    private static final long serialVersionUID = 1L;

    /** The kinds of failure, whatever the driver calls them. */
    public enum Problem {
        /** There is no driver, or what is there cannot be used. */
        NO_DRIVER(Code.UNAVAILABLE, "install NVIDIA's driver, or start the container with its GPUs (docker run --gpus all)"),
        /** The driver does not know what this library needs. */
        DRIVER_TOO_OLD(Code.UNAVAILABLE, "install a newer driver: one for CUDA 12 or later"),
        /** There is no such GPU. */
        NO_DEVICE(Code.UNAVAILABLE, "nvidia-smi says which GPUs there are, CUDA_VISIBLE_DEVICES which of them this process may use"),
        /** There are no kernels that the GPU can run. */
        WRONG_ARCHITECTURE(Code.UNAVAILABLE, "the kernels are not for this GPU: install NVRTC, with which they are compiled for it"),
        /** The GPU, or the page-locked part of the CPU's memory, is full. */
        OUT_OF_MEMORY(Code.EXHAUSTED, "no memory is left: -Dpanoptim.memory.trace=true tells at the end what held it"),
        /** The context was destroyed by somebody else, or is being so as the process ends. */
        CLOSED_CONTEXT(Code.CLOSED, "the device's primary context was destroyed or reset: leave that to the end of the process"),
        /** An address of the CPU's memory where one of the GPU's is expected, or of another GPU's. */
        HOST_POINTER(Code.INVALID, "pass an address of this device's memory"),
        /** A kernel could not be started. */
        LAUNCH_FAILURE(Code.EXHAUSTED, "the kernel could not be started"),
        /** A kernel failed, or the device did: nothing on it can be used any more. */
        LOST_DEVICE(Code.FAULT, "a kernel failed on the device, maybe another library's: nothing in this process can use it any more, "
                + "and results may be half-written"),
        /** There is no cuBLAS, or it does not start. */
        NO_CUBLAS(Code.UNAVAILABLE, "cuBLAS does not start: it needs a driver as new as itself, and some hundred megabytes of the GPU's memory"),
        /** cuBLAS refuses a product. */
        CUBLAS(Code.FAULT, "cuBLAS refused, and results may be half-written"),
        /** Something that cannot be captured in a graph. */
        CAPTURE(Code.INVALID, "this cannot be done while a stream is being captured"),
        /** Any other. */
        OTHER(Code.FAULT, "the driver refused");

        private final Code code;
        private final String advice;

        Problem(Code code, String advice) {
            this.code = code;
            this.advice = advice;
        }

        /** What one of the driver's result codes means. */
        static Problem of(int result) {
            return switch (result) {
                case 2 -> OUT_OF_MEMORY;
                case 3, 4, 201, 709 -> CLOSED_CONTEXT;
                case 34 -> NO_DRIVER;
                case 36, 222, 803, 804 -> DRIVER_TOO_OLD;
                case 46, 100, 101, 802 -> NO_DEVICE;
                case 200, 209, 218, 221, 223 -> WRONG_ARCHITECTURE;
                case 701, 720 -> LAUNCH_FAILURE;
                case 214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 999 -> LOST_DEVICE;
                case 900, 901, 902, 903, 904, 905, 906, 907, 908 -> CAPTURE;
                default -> OTHER;
            };
        }
    }

    private final Problem problem;
    private final int result;

    private CudaException(Code code, Problem problem, int result, String call, String message) {
        super(code, call, message);
        this.problem = problem;
        this.result = result;
    }

    /** What is wrong without the driver having said so. */
    static CudaException of(Problem problem, String call, String message) {
        return new CudaException(problem.code, problem, 0, call, message);
    }

    /** What a call of the driver reported. */
    static CudaException of(int result, String name, String call, Supplier<String> device) {
        Problem problem = Problem.of(result);
        return new CudaException(problem.code, problem, result, call, name + " (" + result + ") on " + device.get() + ": "
                + problem.advice);
    }

    /** What a call of cuBLAS reported. */
    static CudaException ofCublas(Problem otherwise, int status, String name, String call, String device) {
        Problem problem = status == cublas.PANOPTIM_CUBLAS_ALLOC_FAILED() ? Problem.OUT_OF_MEMORY : otherwise;
        return new CudaException(problem.code, problem, status, call, name + " (" + status + ") on " + device + ": " + problem.advice);
    }

    /** The same after other parts of the same work have been done. */
    CudaException halfWay() {
        if (code() == Code.FAULT) {
            return this;
        }
        CudaException half = new CudaException(Code.FAULT, problem, result, call(), String.valueOf(getMessage()).substring(call().length() + 2)
                + "; an earlier part of the same work is under way, so that results are half-written");
        half.initCause(this);
        return half;
    }

    public Problem problem() {
        return problem;
    }

    /** The driver's number for it (CUresult), cuBLAS's (cublasStatus_t), or 0 if neither was asked. */
    public int result() {
        return result;
    }
}
