package io.panoptim.tools.bench;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * What is timed: a step over some float32 tensors.
 *
 * @param name by which the command line knows it
 * @param title for people
 * @param rule which optimizer
 * @param shapes of the tensors
 * @param extent how much of a training step
 */
public record Workload(String name, String title, Rule rule, List<long[]> shapes, Extent extent) {
    /** Learning rate of every workload. */
    public static final double LR = 1e-3;
    /** The largest norm that gradients of a whole step may have. */
    public static final double MAX_NORM = 1;
    /** Of the moving average. */
    public static final double DECAY = 0.999;

    /** By which gradients are multiplied where a scaler takes part. */
    public static final double SCALE = 1 << 16;

    /** How much of a training step is timed. */
    public enum Extent {
        /** The optimizer's. */
        STEP,
        /** Gradients clipped by their norm, the optimizer's step, an exponential moving average of the values, gradients zeroed. */
        WHOLE,
        /** The same with gradients that a scaler unscales and looks for overflows in, before they are clipped. */
        SCALED;

        boolean isWhole() {
            return this != STEP;
        }
    }

    /** Optimizers, with PyTorch's defaults but for SGD's momentum of 0.9. */
    public enum Rule {
        /** Reads value, gradient and two states, writes three of them. */
        ADAMW("AdamW", 28),
        /** Without weight decay: what other libraries have. */
        ADAM("Adam", 28),
        /** With momentum. */
        SGD("SGD", 20),
        ADAGRAD("Adagrad", 20);

        private final String title;
        private final int bytes;

        Rule(String title, int bytes) {
            this.title = title;
            this.bytes = bytes;
        }

        /** PyTorch's name. */
        public String title() {
            return title;
        }
    }

    public long elements() {
        return shapes.stream().mapToLong(Workload::elements).sum();
    }

    static long elements(long[] shape) {
        return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    }

    /** The bytes that have to be moved: for a whole step the gradients once more, their zeros and the average. */
    public long bytes() {
        return elements() * (rule.bytes + (extent.isWhole() ? 4 + 4 + 8 : 0));
    }

    /** Those of {@code panoptim bench}, in its order. */
    static List<Workload> all() {
        return List.of(
                new Workload("one", "AdamW, one tensor of 32 M", Rule.ADAMW, List.of(new long[] {32 << 20}), Extent.STEP),
                new Workload("thousand", "AdamW, 1,000 tensors of 1,000", Rule.ADAMW, equal(1000, 1000), Extent.STEP),
                new Workload("ten-thousand", "AdamW, 10,000 tensors of 1,024", Rule.ADAMW, equal(10_000, 1024), Extent.STEP),
                new Workload("small", "AdamW, one tensor of 1,024", Rule.ADAMW, equal(1, 1024), Extent.STEP),
                new Workload("adam", "Adam, one tensor of 32 M", Rule.ADAM, List.of(new long[] {32 << 20}), Extent.STEP),
                new Workload("sgd", "SGD with momentum, one tensor of 32 M", Rule.SGD, List.of(new long[] {32 << 20}), Extent.STEP),
                new Workload("adagrad", "Adagrad, one tensor of 32 M", Rule.ADAGRAD, List.of(new long[] {32 << 20}), Extent.STEP),
                new Workload("whole", "clip + AdamW + average + zero, one tensor of 32 M", Rule.ADAMW, List.of(new long[] {32 << 20}), Extent.WHOLE),
                new Workload("whole-thousand", "clip + AdamW + average + zero, 1,000 tensors of 1,000", Rule.ADAMW, equal(1000, 1000), Extent.WHOLE),
                new Workload("scaled", "unscale + clip + AdamW + average + zero, one tensor of 32 M", Rule.ADAMW, List.of(new long[] {32 << 20}),
                        Extent.SCALED),
                new Workload("scaled-thousand", "unscale + clip + AdamW + average + zero, 1,000 tensors of 1,000", Rule.ADAMW,
                        equal(1000, 1000), Extent.SCALED));
    }

    private static List<long[]> equal(int count, long elements) {
        return Collections.nCopies(count, new long[] {elements});
    }
}
