package io.panoptim.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The shapes of a network's tensors, in {@code bench/shapes}: a line for each, its name, a tab, and its sizes. */
public final class Shapes {
    private Shapes() {}

    /** Those of a network such as {@code gpt2}. */
    public static List<long[]> of(String network) throws IOException {
        return Files.readAllLines(Path.of("bench/shapes", network + ".txt")).stream().filter(line -> !line.startsWith("#"))
                .map(line -> Arrays.stream(line.split("\t")[1].split("x")).mapToLong(Long::parseLong).toArray()).toList();
    }

    /** Those of a network, or as many of one size as {@code 1000x1024} says. */
    public static List<long[]> named(String name) throws IOException {
        if (!name.matches("\\d+x\\d+")) {
            return of(name);
        }
        String[] numbers = name.split("x");
        return Collections.nCopies(Integer.parseInt(numbers[0]), new long[] {Long.parseLong(numbers[1])});
    }

    /** How many elements they have in all. */
    public static long elements(List<long[]> shapes) {
        return shapes.stream().mapToLong(shape -> Arrays.stream(shape).reduce(1, Math::multiplyExact)).sum();
    }
}
