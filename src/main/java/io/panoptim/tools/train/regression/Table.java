package io.panoptim.tools.train.regression;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Rows of numbers, the last of which is to be predicted from the others.
 *
 * @param name where they are from
 * @param rows all of the same length, at least 2
 */
record Table(String name, List<double[]> rows) {
    /** The size of the airfoil noise set. */
    private static final int GENERATED_ROWS = 1500;
    private static final int GENERATED_INPUTS = 5;
    private static final double NOISE = 0.5;

    /**
     * Reads a delimited text file: fields between tabs, semicolons, commas or, without those, blanks. Lines that are empty or
     * begin with # are passed over, and a first line that is no numbers is a headline.
     */
    static Table read(Path file) {
        try {
            List<String> lines = Files.readAllLines(file);
            List<double[]> rows = new ArrayList<>();
            String separator = "";
            boolean first = true;
            for (int i = 0; i < lines.size(); i++) {
                String line = lines.get(i).strip();
                if (line.isEmpty() || line.startsWith("#")) {
                    continue;
                }
                separator = first ? separator(line) : separator;
                String[] fields = Arrays.stream(line.split(separator, -1)).map(String::strip).toArray(String[]::new);
                if (!first || isNumber(fields[0])) {
                    rows.add(row(file, i + 1, fields, rows));
                }
                first = false;
            }
            return checked(file, rows);
        } catch (CharacterCodingException refused) {
            throw refusal(file, "not UTF-8");
        } catch (IOException failed) {
            throw new PanoptimException(Code.UNAVAILABLE, "--data", file + ": cannot be read: "
                    + (failed instanceof NoSuchFileException ? "no such file" : failed), failed);
        }
    }

    /** A linear function of random inputs, each on a scale of its own, with noise. */
    static Table generate(Random random) {
        double[] weights = IntStream.range(0, GENERATED_INPUTS).mapToDouble(i -> random.nextGaussian()).toArray();
        List<double[]> rows = new ArrayList<>();
        for (int i = 0; i < GENERATED_ROWS; i++) {
            double[] row = new double[GENERATED_INPUTS + 1];
            for (int j = 0; j < GENERATED_INPUTS; j++) {
                double input = random.nextGaussian();
                row[j] = (input + j) * StrictMath.pow(10, j - 2);
                row[GENERATED_INPUTS] += weights[j] * input;
            }
            row[GENERATED_INPUTS] += NOISE * random.nextGaussian();
            rows.add(row);
        }
        return new Table("a generated data set", rows);
    }

    int inputs() {
        return rows.getFirst().length - 1;
    }

    /** With each column's mean taken away, and divided by its standard deviation. */
    Table standardized() {
        List<double[]> standardized = rows.stream().map(double[]::clone).toList();
        for (int column = 0; column <= inputs(); column++) {
            int index = column;
            double mean = rows.stream().mapToDouble(row -> row[index]).sum() / rows.size();
            double variance = rows.stream().mapToDouble(row -> (row[index] - mean) * (row[index] - mean)).sum() / rows.size();
            if (!(variance > 0 && variance < Double.POSITIVE_INFINITY)) {
                throw PanoptimException.invalid("--data", name + ": column " + (column + 1) + " has a variance of " + variance
                        + ": it cannot be standardised, leave it out");
            }
            double deviation = Math.sqrt(variance);
            standardized.forEach(row -> row[index] = (row[index] - mean) / deviation);
        }
        return new Table(name, standardized);
    }

    private static String separator(String line) {
        return Stream.of("\t", ";", ",").filter(line::contains).findFirst().orElse("\\s+");
    }

    private static boolean isNumber(String field) {
        try {
            Double.parseDouble(field);
            return true;
        } catch (NumberFormatException text) {
            return false;
        }
    }

    private static double[] row(Path file, int line, String[] fields, List<double[]> before) {
        int expected = before.isEmpty() ? fields.length : before.getFirst().length;
        if (fields.length != expected) {
            throw refusal(file, "line " + line + ": " + fields.length + " fields, the lines before have " + expected);
        }
        double[] row = new double[fields.length];
        for (int i = 0; i < row.length; i++) {
            row[i] = isNumber(fields[i]) ? Double.parseDouble(fields[i]) : Double.NaN;
            if (!Double.isFinite(row[i])) {
                throw refusal(file, "line " + line + ", field " + (i + 1) + ": expected a number, found '" + fields[i] + "'");
            }
        }
        return row;
    }

    private static Table checked(Path file, List<double[]> rows) {
        if (rows.size() < 2) {
            throw refusal(file, rows.size() + " rows of numbers, at least 2 are needed");
        }
        if (rows.getFirst().length < 2) {
            throw refusal(file, "one column, at least 2 are needed: inputs, then what is to be predicted");
        }
        return new Table(String.valueOf(file.getFileName()), rows);
    }

    private static PanoptimException refusal(Path file, String message) {
        return PanoptimException.invalid("--data", file + ": " + message);
    }
}
