package io.panoptim.optim;

import io.panoptim.PanoptimException;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What a record of options says about an optimizer: torch's names of its hyperparameters, and how they lie in the array
 * of numbers that a group holds. Components are {@code double}, {@code boolean} (0 or 1) or {@link Betas} (two numbers).
 *
 * @param <O> the record
 */
public final class OptionSchema<O extends Record> {
    private final String optimizer;
    private final O defaults;
    private final RecordComponent[] components;
    private final Constructor<O> constructor;
    private final Map<String, Integer> offsets = new LinkedHashMap<>();
    private int size;

    private OptionSchema(String optimizer, O defaults) {
        this.optimizer = optimizer;
        this.defaults = defaults;
        this.components = defaults.getClass().getRecordComponents();
        @SuppressWarnings("unchecked")
        Class<O> type = (Class<O>) defaults.getClass();
        try {
            this.constructor = type.getDeclaredConstructor(
                    Arrays.stream(components).map(RecordComponent::getType).toArray(Class<?>[]::new));
            this.constructor.setAccessible(true); // the record may be anybody's
        } catch (NoSuchMethodException impossible) {
            throw new AssertionError(impossible);
        }
        for (RecordComponent component : components) {
            offsets.put(torchName(component), size);
            size += component.getType() == Betas.class ? 2 : 1;
        }
    }

    /** The schema of an optimizer, from its options with torch's defaults. */
    public static <O extends Record> OptionSchema<O> of(String optimizer, O defaults) {
        return new OptionSchema<>(optimizer, defaults);
    }

    /** torch's names, in the order of the record. */
    public List<String> names() {
        return List.copyOf(offsets.keySet());
    }

    /** The options with torch's defaults. */
    public O defaults() {
        return defaults;
    }

    /** Where a hyperparameter's first number lies. */
    public int index(String name) {
        Integer offset = offsets.get(name);
        if (offset == null) {
            throw PanoptimException.invalid(optimizer, "unknown option '" + name + "': it has " + offsets.keySet());
        }
        return offset;
    }

    /** A hyperparameter as its Java value: Double, Boolean or {@link Betas}. */
    Object get(double[] values, String name) {
        int i = index(name);
        Class<?> type = type(name);
        return type == Betas.class ? new Betas(values[i], values[i + 1])
                : type == boolean.class ? (Object) (values[i] != 0) : values[i];
    }

    /** Replaces some options by name. The record's own checks see the result. */
    public O with(O options, Map<String, ?> replacements) {
        double[] values = values(options);
        replacements.forEach((name, value) -> set(values, name, value));
        return options(values);
    }

    /** Writes a Java value into the numbers; what it says is checked when they become a record. */
    void set(double[] values, String name, Object value) {
        int i = index(name);
        Class<?> type = type(name);
        if (type == Betas.class && value instanceof Betas betas) {
            values[i] = betas.first();
            values[i + 1] = betas.second();
        } else if (type == boolean.class && value instanceof Boolean flag) {
            values[i] = flag ? 1 : 0;
        } else if (type == double.class && value instanceof Number number) {
            values[i] = number.doubleValue();
        } else {
            throw PanoptimException.invalid(optimizer, "option '" + name + "' takes a " + typeName(type) + ", not " + value);
        }
    }

    double[] values(Record options) {
        double[] values = new double[size];
        for (RecordComponent component : components) {
            try {
                component.getAccessor().setAccessible(true);
                set(values, torchName(component), component.getAccessor().invoke(options));
            } catch (IllegalAccessException | InvocationTargetException impossible) {
                throw new AssertionError(impossible);
            }
        }
        return values;
    }

    /** The record of these numbers: its constructor refuses what is out of range. */
    O options(double[] values) {
        List<Object> arguments = new ArrayList<>();
        for (RecordComponent component : components) {
            arguments.add(get(values, torchName(component)));
        }
        try {
            return constructor.newInstance(arguments.toArray());
        } catch (InvocationTargetException refused) {
            if (refused.getCause() instanceof PanoptimException reason) {
                throw reason;
            }
            throw new AssertionError(refused);
        } catch (InstantiationException | IllegalAccessException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private Class<?> type(String name) {
        return Arrays.stream(components).filter(component -> torchName(component).equals(name)).findFirst().orElseThrow()
                .getType();
    }

    private static String typeName(Class<?> type) {
        return type == Betas.class ? "pair of numbers" : type == boolean.class ? "boolean" : "number";
    }

    private static String torchName(RecordComponent component) {
        return component.getName().replaceAll("([A-Z])", "_$1").toLowerCase(Locale.ROOT);
    }
}
