package io.panoptim.tools.train;

import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** The option that says how many rows a step is taken on. */
public final class BatchSize {
    private static final String ALL = "all";

    @Option(names = "--batch", paramLabel = "N", converter = Converter.class, description = "How many rows a step is taken on: 1 for "
            + "stochastic descent, several for mini-batches, " + ALL + " for full batches. Default: ${DEFAULT-VALUE}.")
    private int batch;

    /** With an experiment's default. */
    public BatchSize(int batch) {
        this.batch = batch;
    }

    /** As many rows, or 0 for all. */
    public int rows() {
        return batch;
    }

    /** Reads a number or a word. */
    static final class Converter implements ITypeConverter<Integer> {
        @Override
        public Integer convert(String text) {
            if (text.equals(ALL)) {
                return 0;
            }
            if (text.matches("[1-9][0-9]{0,8}")) {
                return Integer.valueOf(text);
            }
            throw new TypeConversionException("'" + text + "' is neither a number of rows, at least 1, nor '" + ALL + "'");
        }
    }
}
