package io.panoptim.optim;

import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.DoubleFunction;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * How the values of a type of option are kept as one number.
 *
 * @param name for messages
 * @param none the value that stands for Python's {@code None}, or null where there is none
 * @param value the value that a number stands for
 * @param number the number that a value is kept as; empty if it is not of this type
 */
record OptionType(String name, @Nullable Object none, DoubleFunction<Object> value, Function<Object, OptionalDouble> number) {
    private static final String NONE = "NONE";

    private static final Map<Class<?>, OptionType> TYPES = Map.of(
            double.class, new OptionType("a number", null, number -> number, OptionType::number),
            boolean.class, new OptionType("a boolean", null, number -> number != 0,
                    value -> value instanceof Boolean flag ? OptionalDouble.of(flag ? 1 : 0) : OptionalDouble.empty()),
            int.class, new OptionType("an integer", null, number -> (int) number, OptionType::integer),
            long.class, new OptionType("an integer", null, number -> (long) number, OptionType::longInteger),
            OptionalDouble.class, new OptionType("a number or none", OptionalDouble.empty(),
                    number -> Double.isNaN(number) ? OptionalDouble.empty() : OptionalDouble.of(number),
                    value -> value instanceof OptionalDouble given ? OptionalDouble.of(given.orElse(Double.NaN))
                            : number(value).stream().filter(number -> !Double.isNaN(number)).findFirst()),
            OptionalInt.class, new OptionType("an integer or none", OptionalInt.empty(),
                    number -> Double.isNaN(number) ? OptionalInt.empty() : OptionalInt.of((int) number),
                    value -> value instanceof OptionalInt given
                            ? OptionalDouble.of(given.isPresent() ? given.getAsInt() : Double.NaN) : integer(value)));

    /** The type of a record's component, which is kept as one number: one of the above or an enum. */
    static OptionType of(Class<?> type) {
        return type.isEnum() ? choice(type) : TYPES.get(type);
    }

    /** Strings in Python, which name the constants; {@code NONE} is no string there but {@code None}. */
    private static OptionType choice(Class<?> type) {
        Map<String, Enum<?>> constants = Arrays.stream(type.getEnumConstants()).map(constant -> (Enum<?>) constant)
                .collect(Collectors.toMap(constant -> constant.name().toLowerCase(Locale.ROOT), constant -> constant));
        Enum<?> none = constants.remove(NONE.toLowerCase(Locale.ROOT));
        Object[] all = type.getEnumConstants();
        String names = constants.keySet().stream().sorted().map(name -> "'" + name + "'").collect(Collectors.joining(" or "));
        return new OptionType(names + (none == null ? "" : " or none"), none, number -> all[(int) number],
                value -> {
                    Enum<?> constant = type.isInstance(value) ? (Enum<?>) value : value instanceof String name ? constants.get(name) : null;
                    return constant == null ? OptionalDouble.empty() : OptionalDouble.of(constant.ordinal());
                });
    }

    /** As Python prints it. */
    String text(Object value) {
        return value.equals(none) ? "None" : switch (value) {
            case OptionalDouble given -> "" + given.getAsDouble();
            case OptionalInt given -> "" + given.getAsInt();
            case Enum<?> constant -> constant.name().toLowerCase(Locale.ROOT);
            default -> value.toString();
        };
    }

    private static OptionalDouble number(Object value) {
        return value instanceof Number number ? OptionalDouble.of(number.doubleValue()) : OptionalDouble.empty();
    }

    private static OptionalDouble integer(Object value) {
        return value instanceof Number number && number.doubleValue() == (int) number.doubleValue()
                ? OptionalDouble.of(number.doubleValue()) : OptionalDouble.empty();
    }

    /** An integer of those that a double tells apart. */
    private static OptionalDouble longInteger(Object value) {
        return value instanceof Number number && number.doubleValue() == Math.rint(number.doubleValue())
                && Math.abs(number.doubleValue()) <= 1L << 53 ? OptionalDouble.of(number.doubleValue()) : OptionalDouble.empty();
    }
}
