package io.panoptim.bench;

import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.optim.matrix.Muon;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;

/**
 * A step of Muon on the CPU engine against {@code torch.optim.Muon}, with the same number of threads, one after the other in turn:
 * {@code MuonBenchmark PYTHON THREADS ROUNDS}, in the repository, where PYTHON has torch. Newton–Schulz's products are made in float32 and
 * in bfloat16, as torch's are. Prints the fastest and the middle one of the rounds, and the middle one of the rounds' ratios.
 */
public final class MuonBenchmark {
    /** Matrices of one shape. */
    private record Shape(int count, long rows, long columns) {
        @Override
        public String toString() {
            return count + "x" + rows + "x" + columns;
        }
    }

    private static final List<Shape> GPT2 = List.of(new Shape(12, 768, 2304), new Shape(12, 768, 768), new Shape(12, 768, 3072),
            new Shape(12, 3072, 768));
    private static final List<Shape> SMALL = List.of(new Shape(126, 256, 256));

    private MuonBenchmark() {}

    public static void main(String[] arguments) throws IOException {
        int threads = Integer.parseInt(arguments[1]);
        int rounds = Integer.parseInt(arguments[2]);
        try (CpuEngine engine = CpuEngine.open(CpuOptions.defaults().withThreads(threads))) {
            System.out.println(engine.description() + "\n" + engine.blas() + "\n" + engine.bfloat16Products());
            compare("GPT-2's 48 hidden matrices", GPT2, engine, arguments[0], rounds);
            compare("126 matrices of 256 x 256", SMALL, engine, arguments[0], 5 * rounds);
        }
    }

    private static void compare(String what, List<Shape> shapes, CpuEngine engine, String python, int rounds) throws IOException {
        List<String> command = new ArrayList<>(List.of(python, "bench/muon.py", "" + engine.threads()));
        shapes.forEach(shape -> command.add(shape.toString()));
        Process torch = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try (Arena arena = Arena.ofShared(); BufferedReader out = torch.inputReader(); Writer in = torch.outputWriter();
                Muon wide = new Muon(engine, parameters(arena, shapes), Muon.Options.defaults().withLr(0.02));
                Muon narrow = new Muon(engine, parameters(arena, shapes), Muon.Options.defaults().withLr(0.02))) {
            narrow.products(DType.BFLOAT16);
            System.out.println(what + ", torch " + out.readLine());
            double[][] seconds = new double[3][rounds];
            for (int round = -3; round < rounds; round++) {
                int place = Math.max(round, 0);
                seconds[0][place] = step(wide);
                pause();
                in.write("step\n");
                in.flush();
                seconds[2][place] = Double.parseDouble(out.readLine());
                pause();
                seconds[1][place] = step(narrow);
            }
            print("float32 products", seconds[0], seconds[2]);
            print("bfloat16 products", seconds[1], seconds[2]);
        } finally {
            torch.destroy();
        }
    }

    private static double step(Muon muon) {
        long start = System.nanoTime();
        muon.step();
        return (System.nanoTime() - start) * 1e-9;
    }

    private static void print(String what, double[] ours, double[] theirs) {
        double[] ratios = new double[ours.length];
        Arrays.setAll(ratios, round -> theirs[round] / ours[round]);
        Arrays.sort(ratios);
        System.out.printf(Locale.ROOT, "  %s: fastest %.1f ms, torch %.1f ms; middle %.1f ms, torch %.1f ms; times as fast, middle: %.2f%n", what,
                sorted(ours)[0] * 1e3, sorted(theirs)[0] * 1e3, sorted(ours)[ours.length / 2] * 1e3, sorted(theirs)[ours.length / 2] * 1e3,
                ratios[ours.length / 2]);
    }

    private static double[] sorted(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted;
    }

    /** Until the other side's threads no longer spin. */
    private static void pause() {
        LockSupport.parkNanos(250_000_000);
    }

    private static List<Parameter> parameters(Arena arena, List<Shape> shapes) {
        Random random = new Random(1);
        List<Parameter> parameters = new ArrayList<>();
        for (Shape shape : shapes) {
            for (int i = 0; i < shape.count; i++) {
                Tensor gradient = Tensor.zeros(arena, DType.FLOAT32, shape.rows, shape.columns);
                for (long k = 0; k < gradient.elements(); k++) {
                    gradient.set(k, random.nextGaussian());
                }
                parameters.add(Parameter.of(Tensor.zeros(arena, DType.FLOAT32, shape.rows, shape.columns)).gradient(gradient));
            }
        }
        return parameters;
    }
}
