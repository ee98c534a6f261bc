package io.panoptim.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.panoptim.PanoptimException;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.engine.cuda.CudaStream;
import io.panoptim.engine.cuda.PlainKernels;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.matrix.Adafactor;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Steps of AdamW and Adafactor and matrix products on a CUDA device, host time included: {@code GpuBenchmark OUT.json [PYTHON]}, in the repository or the
 * bundle. Steps are compared with the best of some plain kernels that read and write memory and, if PYTHON has torch with CUDA, with torch's
 * fused AdamW, or its Adafactor, on the same tensors; each in turn, round after round, and the middle one of the rounds counts. All tensors of one side are
 * freed before the other's are made. On the stand-in for a driver all sizes are tiny, and the times say nothing of a GPU.
 */
public final class GpuBenchmark {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int ROUNDS = 5;
    private static final long SECOND = 1_000_000_000;
    /** What is left to CUDA itself. */
    private static final double SHARE = 0.9;
    private static final int TENSORS = 4;

    /** What steps. */
    private enum Kind {
        /** Reads four tensors and writes three. */
        ADAMW("AdamW", 7),
        /** Reads a value twice and a gradient three times, and writes the value; its averages are small. */
        ADAFACTOR("Adafactor", 6);

        private final String torchName;
        private final int passes;

        Kind(String torchName, int passes) {
            this.torchName = torchName;
            this.passes = passes;
        }

        Optimizer make(CudaEngine engine, List<Parameter> parameters) {
            return this == ADAMW ? new AdamW(engine, parameters, AdamW.Options.defaults())
                    : new Adafactor(engine, parameters, Adafactor.Options.defaults());
        }
    }

    private final CudaEngine engine;
    private final boolean standIn;
    private final Torch torch;
    private final @Nullable PlainKernels plain;
    private final ObjectNode report = JSON.createObjectNode();

    private GpuBenchmark(CudaEngine engine, boolean standIn, Torch torch) {
        this.engine = engine;
        this.standIn = standIn;
        this.torch = torch;
        report.put("device", engine.description());
        report.put("standIn", standIn);
        report.set("torch", torch.greeting);
        PlainKernels kernels = null;
        try {
            if (standIn) {
                report.put("plainKernels", "skipped: the stand-in for a driver runs the library's own kernels only");
            } else {
                kernels = new PlainKernels(engine);
            }
        } catch (PanoptimException missing) {
            report.put("plainKernels", "skipped: " + missing.getMessage());
        }
        this.plain = kernels;
    }

    /** @param arguments where the report goes; the python to compare with */
    public static void main(String[] arguments) throws IOException {
        boolean standIn = System.getProperty("panoptim.cuda.driver") != null;
        try (CudaEngine engine = CudaEngine.open(0); Torch torch = new Torch(arguments.length > 1 ? arguments[1] : null)) {
            GpuBenchmark benchmark = new GpuBenchmark(engine, standIn, torch);
            benchmark.steps();
            benchmark.products();
            if (benchmark.plain != null) {
                benchmark.plain.close();
            }
            Files.writeString(Path.of(arguments[0]), JSON.writerWithDefaultPrettyPrinter().writeValueAsString(benchmark.report));
        }
    }

    // ---- Steps

    private void steps() throws IOException {
        ArrayNode results = report.putArray("steps");
        long elements = standIn ? 1 << 12 : Math.min(1_000_000_000L, largest(DType.FLOAT32));
        results.add(step(Kind.ADAMW, "one tensor", List.of(new long[] {elements}), DType.FLOAT32));
        for (Kind kind : Kind.values()) {
            results.add(network(kind, "gpt2"));
            results.add(network(kind, "llama-7b"));
        }
        results.add(step(Kind.ADAMW, "small tensors", Collections.nCopies(standIn ? 100 : 10_000, new long[] {standIn ? 16 : 1024}), DType.FLOAT32));
    }

    /** How many elements fit, with gradients and states. */
    private long largest(DType dtype) {
        return (long) (PlainKernels.freeBytes(engine) * SHARE) / (TENSORS * dtype.bytes());
    }

    /** In float32; where that does not fit in bfloat16; and where that does not, without the last tensors. */
    private ObjectNode network(Kind kind, String name) throws IOException {
        List<long[]> shapes = Shapes.of(name);
        if (standIn) {
            return step(kind, name, shapes.stream().map(shape -> Arrays.stream(shape).map(size -> Math.min(size, 3)).toArray()).toList(), DType.FLOAT32);
        }
        DType dtype = Shapes.elements(shapes) <= largest(DType.FLOAT32) ? DType.FLOAT32 : DType.BFLOAT16;
        int count = shapes.size();
        while (Shapes.elements(shapes.subList(0, count)) > largest(dtype)) {
            count--;
        }
        return step(kind, name, shapes.subList(0, count), dtype);
    }

    private ObjectNode step(Kind kind, String name, List<long[]> shapes, DType dtype) throws IOException {
        long elements = Shapes.elements(shapes);
        double[] eager = new double[ROUNDS];
        double[] replayed = new double[ROUNDS];
        double[] theirs = new double[ROUNDS];
        double[] best = new double[ROUNDS];
        String[] bestKernel = {""};
        String torchError = torch.error();
        for (int round = 0; round < ROUNDS; round++) {
            eager[round] = ours(kind, shapes, dtype, false);
            if (torchError == null) {
                JsonNode answer = torch.step(kind, shapes, dtype);
                torchError = answer.has("error") ? answer.get("error").asText() : null;
                theirs[round] = answer.path("seconds").asDouble();
            }
            replayed[round] = kind == Kind.ADAMW ? ours(kind, shapes, dtype, true) : 0;
            best[round] = shapes.size() == 1 && plain != null ? bandwidth(elements, bestKernel) : 0;
        }
        double bytes = (double) elements * dtype.bytes() * kind.passes;
        ObjectNode result = JSON.createObjectNode();
        result.put("name", name).put("optimizer", kind.torchName).put("tensors", shapes.size()).put("elements", elements).put("dtype", dtype.toString());
        result.put("seconds", middle(eager)).put("bytesPerSecond", bytes / middle(eager));
        if (kind == Kind.ADAMW) { // the other one cannot be captured
            result.put("replayedSeconds", middle(replayed));
        }
        if (torchError == null) {
            result.put("torchSeconds", middle(theirs)).put("timesTorch", middle(theirs) / middle(eager));
        } else {
            result.put("torch", "skipped: " + torchError);
        }
        if (best[0] > 0) {
            result.put("plainBytesPerSecond", middle(best)).put("plainKernel", bestKernel[0])
                    .put("shareOfPlain", bytes / middle(eager) / middle(best));
        }
        System.out.println(result);
        return result;
    }

    private static double middle(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    /** Seconds of one step. */
    private double ours(Kind kind, List<long[]> shapes, DType dtype, boolean captured) {
        try (Memory memory = engine.memory(); CudaStream stream = engine.newStream()) {
            List<Parameter> parameters = new ArrayList<>();
            for (long[] shape : shapes) {
                Tensor value = memory.zeros(dtype, shape);
                Tensor gradient = memory.zeros(dtype, shape);
                engine.fill(value, 0.5, Stream.DEFAULT);
                engine.fill(gradient, 1e-3, Stream.DEFAULT);
                parameters.add(Parameter.of(value).gradient(gradient));
            }
            engine.synchronize(Stream.DEFAULT);
            try (Optimizer optimizer = kind.make(engine, parameters)) {
                optimizer.stream(stream.stream());
                seconds(3, stream.stream(), optimizer::step);
                if (captured && optimizer instanceof AdamW adamw) {
                    adamw.captureStep();
                    seconds(3, stream.stream(), optimizer::step);
                }
                return measured(stream.stream(), optimizer::step);
            }
        }
    }

    private double measured(Stream stream, Runnable work) {
        double estimate = seconds(5, stream, work);
        return seconds(standIn ? 5 : (int) Math.clamp(0.3 / Math.max(1e-6, estimate), 5, 2000), stream, work);
    }

    /** Seconds of one of so many, waiting for the device once. */
    private double seconds(int count, Stream stream, Runnable work) {
        engine.synchronize(stream);
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
            work.run();
        }
        engine.synchronize(stream);
        return (System.nanoTime() - start) / (double) SECOND / count;
    }

    /** Bytes in a second of the fastest plain kernel, of which there are some with more or fewer streams, blocks and threads. */
    private double bandwidth(long elements, String[] name) {
        double best = 0;
        try (Memory memory = engine.memory()) {
            long vectors = elements / 4;
            long[] addresses = new long[TENSORS];
            for (int i = 0; i < TENSORS; i++) {
                addresses[i] = memory.zeros(DType.FLOAT32, elements).address();
            }
            for (String kernel : new String[] {"scale", "four_streams"}) {
                long[] used = kernel.equals("scale") ? new long[] {addresses[0]} : addresses;
                double bytes = 16.0 * vectors * (kernel.equals("scale") ? 2 : Kind.ADAMW.passes);
                for (int threads : new int[] {256, 512, 1024}) {
                    long all = (vectors + threads - 1) / threads;
                    for (long blocks : new long[] {4L * PlainKernels.multiprocessors(engine), 16L * PlainKernels.multiprocessors(engine), all}) {
                        int count = Math.clamp(blocks, 1, Integer.MAX_VALUE);
                        Runnable launch = () -> plain.launch(kernel, count, threads, used, vectors);
                        seconds(2, Stream.DEFAULT, launch);
                        double found = bytes / seconds(10, Stream.DEFAULT, launch);
                        if (found > best) {
                            best = found;
                            name[0] = kernel + ", " + count + " blocks of " + threads;
                        }
                    }
                }
            }
        }
        return best;
    }

    // ---- Matrix products

    private void products() {
        ArrayNode results = report.putArray("products");
        for (String binding : new String[] {"ffm", "jcublas2"}) {
            System.setProperty("panoptim.cublas", binding);
            try (CudaEngine own = CudaEngine.open(0)) {
                for (long size : standIn ? new long[] {32} : new long[] {256, 1024, 4096, 8192}) {
                    for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
                        results.add(product(own, binding, size, dtype, false, false));
                    }
                    results.add(product(own, binding, size, DType.FLOAT32, true, false));
                    results.add(product(own, binding, size, DType.FLOAT32, false, true));
                }
            } catch (PanoptimException missing) {
                results.addObject().put("binding", binding).put("skipped", missing.getMessage());
                System.out.println(binding + ": " + missing.getMessage());
            }
        }
        System.clearProperty("panoptim.cublas");
    }

    private ObjectNode product(CudaEngine own, String binding, long size, DType dtype, boolean tf32, boolean symmetric) {
        try (Memory memory = own.memory()) {
            Tensor a = memory.zeros(dtype, size, size);
            Tensor d = memory.zeros(dtype, size, size);
            own.fill(a, 1e-2, Stream.DEFAULT);
            MatrixProduct product = new MatrixProduct(Matrices.of(a), false, Matrices.of(a), true, Matrices.of(d), Matrices.of(d), symmetric)
                    .withTf32(tf32);
            try (MatrixProduct.Plan plan = own.matrixProduct(product)) {
                Runnable work = () -> plan.run(1, 0, Stream.DEFAULT);
                seconds(3, Stream.DEFAULT, work);
                double seconds = measured(Stream.DEFAULT, work);
                ObjectNode result = JSON.createObjectNode();
                result.put("binding", binding).put("size", size).put("dtype", tf32 ? "tf32" : dtype.toString()).put("symmetric", symmetric)
                        .put("seconds", seconds).put("flopsOfTheWhole", 2.0 * size * size * size / seconds);
                System.out.println(result);
                return result;
            }
        }
    }

    // ---- The other side

    /** A Python process with torch, or the reason why there is none. */
    private static final class Torch implements AutoCloseable {
        private final @Nullable Process process;
        private final JsonNode greeting;

        Torch(@Nullable String python) throws IOException {
            if (python == null) {
                process = null;
                greeting = JSON.createObjectNode().put("error", "there is no python3");
            } else {
                process = new ProcessBuilder(python, "bench/torch_step.py").redirectError(ProcessBuilder.Redirect.INHERIT).start();
                String line = process.inputReader().readLine();
                greeting = line == null ? JSON.createObjectNode().put("error", python + " ended at once") : JSON.readTree(line);
            }
        }

        @Nullable String error() {
            return greeting.has("error") ? greeting.get("error").asText() : null;
        }

        JsonNode step(Kind kind, List<long[]> shapes, DType dtype) throws IOException {
            ObjectNode request = JSON.createObjectNode().put("optimizer", kind.torchName).put("dtype", dtype.toString().toLowerCase(Locale.ROOT));
            request.set("shapes", JSON.valueToTree(shapes));
            Writer in = process.outputWriter();
            in.write(request + "\n");
            in.flush();
            BufferedReader out = process.inputReader();
            String answer = out.readLine();
            return answer == null ? JSON.createObjectNode().put("error", "python ended") : JSON.readTree(answer);
        }

        @Override
        public void close() {
            if (process != null) {
                process.destroy();
            }
        }
    }
}
