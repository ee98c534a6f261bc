package io.panoptim.optim;

import io.panoptim.PanoptimException;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * What a record of options says about an optimizer: torch's names of its hyperparameters, and how they lie in the array
 * of numbers that a group holds. Components are {@code double}, {@code int}, {@code long}, {@code boolean} (0 or 1), {@link OptionalDouble} or
 * {@link OptionalInt} (NaN for none, Python's {@code None}), an enum (the constant's place; torch has strings, the constants' names in
 * lower case, and {@code None} for a constant NONE), a record of doubles such as {@link Betas}, any of which may be optional, or the
 * {@link Optional} of one.
 *
 * @param <O> the record
 */
public final class OptionSchema<O extends Record> {
    private final String optimizer;
    private final O defaults;
    private final Constructor<O> constructor;
    /** By torch's names, in the order of the record. */
    private final Map<String, Option> options = new LinkedHashMap<>();
    private final List<String> names;
    private final int size;

    /**
     * One component of the record.
     *
     * @param type that of the value for an {@link Optional}
     * @param single how its one number is kept; null for a record of several
     * @param offset where its first number lies
     */
    private record Option(RecordComponent component, Class<?> type, @Nullable OptionType single, int offset) {
        boolean isOptionalRecord() {
            return component.getType() == Optional.class;
        }

        String typeName() {
            return single == null ? size(type) + " numbers" : single.name();
        }
    }

    private OptionSchema(String optimizer, O defaults) {
        this.optimizer = optimizer;
        this.defaults = defaults;
        @SuppressWarnings("unchecked")
        Class<O> type = (Class<O>) defaults.getClass();
        this.constructor = constructor(type);
        int offset = 0;
        for (RecordComponent component : type.getRecordComponents()) {
            Class<?> of = type(component);
            options.put(torchName(component), new Option(component, of, of.isRecord() ? null : OptionType.of(of), offset));
            offset += size(of);
        }
        this.size = offset;
        this.names = List.copyOf(options.keySet());
    }

    /** The schema of an optimizer, from its options with torch's defaults. */
    public static <O extends Record> OptionSchema<O> of(String optimizer, O defaults) {
        return new OptionSchema<>(optimizer, defaults);
    }

    /** torch's names, in the order of the record. */
    public List<String> names() {
        return names;
    }

    /** The options with torch's defaults. */
    public O defaults() {
        return defaults;
    }

    /** Where a hyperparameter's first number lies. */
    public int index(String name) {
        return option(name).offset;
    }

    private Option option(String name) {
        Option option = options.get(name);
        if (option == null) {
            throw PanoptimException.invalid(optimizer, "unknown option '" + name + "': it has " + names);
        }
        return option;
    }

    /** How many numbers a hyperparameter is kept as. */
    public int size(String name) {
        return size(option(name).type);
    }

    /** How many numbers a hyperparameter is; 0 for a flag or a choice. */
    public int numbers(String name) {
        return option(name).type == boolean.class || isChoice(name) ? 0 : size(name);
    }

    /** Whether the number at a place is an integer. */
    boolean isInteger(int index) {
        return options.values().stream().filter(option -> option.offset == index).map(Option::type)
                .anyMatch(type -> type == int.class || type == long.class || type == OptionalInt.class);
    }

    /** What stands for Python's {@code None} where a hyperparameter may be none: an empty optional, or the constant NONE. */
    public Optional<Object> none(String name) {
        Option option = option(name);
        if (option.single == null) {
            return option.isOptionalRecord() ? Optional.of(Optional.empty()) : Optional.empty();
        }
        return Optional.ofNullable(option.single.none());
    }

    /** Whether the values of a hyperparameter are strings in Python. */
    public boolean isChoice(String name) {
        return option(name).type.isEnum();
    }

    /** The first number of a hyperparameter; NaN if it is none. */
    public double number(O options, String name) {
        return values(options)[index(name)];
    }

    /** A hyperparameter as its Java value. */
    Object get(double[] values, String name) {
        Option option = option(name);
        int i = option.offset;
        Class<?> type = option.type;
        if (option.single == null) {
            Object[] numbers = elements(type, values, i);
            if (option.isOptionalRecord()) {
                return Double.isNaN(values[i]) ? Optional.empty() : Optional.of(construct(constructor(type), numbers));
            }
            return construct(constructor(type), numbers);
        }
        return option.single.value().apply(values[i]);
    }

    /** A hyperparameter as a plain value: a number, a boolean, a string, a list of numbers, or null for none. */
    @Nullable Object plain(double[] values, String name) {
        Object value = get(values, name);
        if (none(name).filter(value::equals).isPresent()) {
            return null;
        }
        Object given = value instanceof Optional<?> record ? record.get() : value;
        return switch (given) {
            case Record record -> Arrays.stream(numbers(record)).mapToObj(number -> Double.isNaN(number) ? null : number).toList();
            case OptionalDouble number -> number.getAsDouble();
            case OptionalInt number -> number.getAsInt();
            case Enum<?> constant -> constant.name().toLowerCase(Locale.ROOT);
            default -> given;
        };
    }

    /** Writes a plain value, where a tuple may be any list, and a number an integer. Ranges are not checked, as in torch. */
    void setPlain(double[] values, String name, @Nullable Object value) {
        Object given = value == null ? none(name).orElse("null") : value;
        if (given instanceof List<?> list && list.stream().allMatch(number -> number == null || number instanceof Number)) {
            given = list.stream().mapToDouble(number -> number == null ? Double.NaN : ((Number) number).doubleValue()).toArray();
        }
        if (given instanceof double[] numbers ? !canBeNone(option(name).type, numbers)
                : given instanceof Double number && Double.isNaN(number)) {
            throw PanoptimException.invalid(optimizer, "option '" + name + "' is NaN");
        }
        set(values, name, given);
    }

    /** Whether those of a record's numbers that are none may be. */
    private static boolean canBeNone(Class<?> type, double[] numbers) {
        RecordComponent[] components = type.isRecord() ? type.getRecordComponents() : new RecordComponent[0];
        return IntStream.range(0, numbers.length).noneMatch(i -> Double.isNaN(numbers[i])
                && (i >= components.length || components[i].getType() != OptionalDouble.class));
    }

    /** The components of a record of numbers. */
    private static Object[] elements(Class<?> type, double[] values, int first) {
        RecordComponent[] components = type.getRecordComponents();
        return IntStream.range(0, components.length).mapToObj(i -> OptionType.of(components[i].getType()).value().apply(values[first + i]))
                .toArray();
    }

    /** A hyperparameter as Python prints it. */
    String text(double[] values, String name) {
        Object value = get(values, name);
        if (value instanceof Optional<?> record) {
            return record.isPresent() ? tuple((Record) record.get()) : "None";
        }
        OptionType single = option(name).single;
        return single == null ? tuple((Record) value) : single.text(value);
    }

    private static String tuple(Record record) {
        return Arrays.stream(numbers(record)).mapToObj(number -> Double.isNaN(number) ? "None" : "" + number).collect(Collectors.joining(", ", "(", ")"));
    }

    /** Replaces some options by name. The record's own checks see the result. */
    public O with(O options, Map<String, ?> replacements) {
        double[] values = values(options);
        replacements.forEach((name, value) -> set(values, name, value));
        return options(values);
    }

    /** Writes a Java value, or the numbers of one, into the numbers; what it says is checked when they become a record. */
    void set(double[] values, String name, Object value) {
        Option option = option(name);
        int i = option.offset;
        Class<?> type = option.type;
        if (value instanceof Optional<?> record && option.isOptionalRecord()) {
            if (record.isPresent()) {
                set(values, name, record.get());
            } else {
                Arrays.fill(values, i, i + size(type), Double.NaN);
            }
            return;
        }
        if (option.single == null && (type.isInstance(value) || value instanceof double[])) {
            double[] numbers = value instanceof double[] given ? given : numbers((Record) value);
            if (numbers.length != size(type)) {
                throw PanoptimException.invalid(optimizer, "option '" + name + "' takes " + option.typeName() + ", not "
                        + numbers.length);
            }
            System.arraycopy(numbers, 0, values, i, numbers.length);
            return;
        }
        OptionalDouble number = option.single == null ? OptionalDouble.empty() : option.single.number().apply(value);
        values[i] = number.orElseThrow(() -> PanoptimException.invalid(optimizer, "option '" + name + "' takes " + option.typeName()
                + ", not " + value));
    }

    double[] values(Record options) {
        double[] values = new double[size];
        this.options.forEach((name, option) -> set(values, name, read(option.component, options)));
        return values;
    }

    /** The record of these numbers: its constructor refuses what is out of range. */
    O options(double[] values) {
        return construct(constructor, names.stream().map(name -> get(values, name)).toArray());
    }

    private static <R> Constructor<R> constructor(Class<R> type) {
        try {
            Constructor<R> found = type.getDeclaredConstructor(Arrays.stream(type.getRecordComponents())
                    .map(RecordComponent::getType).toArray(Class<?>[]::new));
            found.setAccessible(true); // the record may be anybody's
            return found;
        } catch (NoSuchMethodException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static <R> R construct(Constructor<R> constructor, Object[] arguments) {
        try {
            return constructor.newInstance(arguments);
        } catch (InvocationTargetException refused) {
            if (refused.getCause() instanceof PanoptimException reason) {
                throw reason;
            }
            throw new AssertionError(refused);
        } catch (InstantiationException | IllegalAccessException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static Object read(RecordComponent component, Record record) {
        try {
            component.getAccessor().setAccessible(true);
            return component.getAccessor().invoke(record);
        } catch (IllegalAccessException | InvocationTargetException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static double[] numbers(Record record) {
        return Arrays.stream(record.getClass().getRecordComponents())
                .mapToDouble(component -> OptionType.of(component.getType()).number().apply(read(component, record)).orElseThrow()).toArray();
    }

    /** A component's type; that of its value for an {@link Optional}. */
    private static Class<?> type(RecordComponent component) {
        return component.getGenericType() instanceof ParameterizedType optional ? (Class<?>) optional.getActualTypeArguments()[0]
                : component.getType();
    }

    private static int size(Class<?> type) {
        return type.isRecord() ? type.getRecordComponents().length : 1;
    }

    /** {@code weightDecay} is {@code weight_decay}, and {@code betas1d} is {@code betas_1d}. */
    private static String torchName(RecordComponent component) {
        return component.getName().replaceAll("([A-Z]|\\dd(?![a-z]))", "_$1").toLowerCase(Locale.ROOT);
    }
}
