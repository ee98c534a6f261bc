package io.panoptim.tools.train.digits;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Objects;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * Labelled images of handwritten digits.
 *
 * @param pixels from 0 to 1, an image a row
 * @param labels for each image a number from 0 to below {@code classes}
 */
public record Images(double[] pixels, int[] labels, int classes) {
    /** The pixels of an image. */
    public static final int PIXELS = Model.SIZE * Model.SIZE;
    private static final int DIGITS = 10;
    private static final int GREY = 16;
    /** Every so many-th image is held out. */
    private static final int HELD_OUT = 5;

    /** The UCI repository's 1,797 images of 8 x 8 pixels. */
    public static Images all() {
        try (InputStream in = Images.class.getResourceAsStream("digits.txt");
             BufferedReader reader = new BufferedReader(new InputStreamReader(Objects.requireNonNull(in), StandardCharsets.UTF_8))) {
            List<String> lines = reader.lines().filter(line -> !line.startsWith("#")).toList();
            return new Images(lines.stream().flatMapToInt(line -> line.substring(2).chars())
                    .mapToDouble(letter -> Character.digit(letter, GREY + 1) / (double) GREY).toArray(),
                    lines.stream().mapToInt(line -> Character.digit(line.charAt(0), DIGITS)).toArray(), DIGITS);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    /** Four fifths of the images, for training. */
    public Images training() {
        return chosen(i -> i % HELD_OUT != HELD_OUT - 1);
    }

    /** The others. */
    public Images heldOut() {
        return chosen(i -> i % HELD_OUT == HELD_OUT - 1);
    }

    /** The images of some digits, labelled from 0. */
    public Images ofClasses(int from, int to) {
        Images chosen = chosen(i -> labels[i] >= from && labels[i] < to);
        return new Images(chosen.pixels, IntStream.of(chosen.labels).map(label -> label - from).toArray(), to - from);
    }

    /** So many images of each class, spread evenly: neighbours are often of the same hand. */
    public Images few(int perClass) {
        return chosen(isOfFew(perClass));
    }

    /** The images that are not among the {@link #few}. */
    public Images butFew(int perClass) {
        return chosen(isOfFew(perClass).negate());
    }

    /** To be asked of each image once, in their order. */
    private IntPredicate isOfFew(int perClass) {
        int[] sizes = new int[classes];
        IntStream.of(labels).forEach(label -> sizes[label]++);
        int[] seen = new int[classes];
        return i -> {
            int label = labels[i];
            int before = seen[label]++ * perClass / sizes[label];
            return seen[label] * perClass / sizes[label] > before;
        };
    }

    /** How many images there are. */
    public int size() {
        return labels.length;
    }

    private Images chosen(IntPredicate condition) {
        int[] indices = IntStream.range(0, size()).filter(condition).toArray();
        double[] chosen = new double[indices.length * PIXELS];
        for (int i = 0; i < indices.length; i++) {
            System.arraycopy(pixels, indices[i] * PIXELS, chosen, i * PIXELS, PIXELS);
        }
        return new Images(chosen, IntStream.of(indices).map(i -> labels[i]).toArray(), classes);
    }
}
