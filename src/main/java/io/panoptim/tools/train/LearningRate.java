package io.panoptim.tools.train;

import io.panoptim.tools.OptimizerKind;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * An initial learning rate: one, or by default one that suits the optimizer.
 *
 * @param usual for most optimizers
 * @param others for some, by name
 * @param own whether one that takes 0.5 or more by itself, since it finds the size of its steps, keeps that
 */
public record LearningRate(double usual, Map<String, Double> others, boolean own) {
    private static final double FINDS_ITS_OWN = 0.5;

    /** A default of an experiment. */
    public static LearningRate of(double usual, Map<String, Double> others) {
        return new LearningRate(usual, new TreeMap<>(others), true);
    }

    double of(OptimizerKind<?, ?> kind) {
        double byItself = kind.lr();
        return others.getOrDefault(kind.name(), own && byItself >= FINDS_ITS_OWN ? byItself : usual);
    }

    /** For the help text. */
    @Override
    public String toString() {
        return usual + others.entrySet().stream().map(entry -> ", " + entry.getValue() + " for " + entry.getKey())
                .collect(Collectors.joining())
                + (own ? ", and what it takes by itself for one that needs no smaller rate, as Adadelta" : "");
    }

    /** Reads one for all optimizers. */
    static final class Converter implements ITypeConverter<LearningRate> {
        @Override
        public LearningRate convert(String text) {
            try {
                return new LearningRate(Double.parseDouble(text), Map.of(), false);
            } catch (NumberFormatException refused) {
                throw new TypeConversionException("'" + text + "' is not a double");
            }
        }
    }
}
