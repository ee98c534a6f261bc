package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The fields of a scheduler, under torch's keys. A scheduler lists them once, in {@link LRScheduler#state}: each method
 * notes the present value when the state is asked for, and returns the loaded one when a state is loaded.
 *
 * <p>A key that a loaded state lacks leaves the field as it is, as in torch; one that no field has is refused.
 */
public final class SchedulerState {
    private final String call;
    private final @Nullable Map<String, ? extends @Nullable Object> loaded;
    private final Map<String, @Nullable Object> saved = new LinkedHashMap<>();

    private SchedulerState(String call, @Nullable Map<String, ? extends @Nullable Object> loaded) {
        this.call = call;
        this.loaded = loaded;
    }

    static SchedulerState saving() {
        return new SchedulerState("stateDict", null);
    }

    static SchedulerState loading(String call, Map<String, ? extends @Nullable Object> loaded) {
        return new SchedulerState(call, loaded);
    }

    Map<String, @Nullable Object> saved() {
        return saved;
    }

    public double number(String key, double present) {
        return field(key, present, value -> value instanceof Number number ? number.doubleValue() : null, "a number");
    }

    /** Python's {@code None} is an empty value. */
    public @Nullable Double optionalNumber(String key, @Nullable Double present) {
        if (isAbsent(key, present)) {
            return present;
        }
        return value(key) == null ? null : number(key, 0);
    }

    public long integer(String key, long present) {
        return field(key, present, SchedulerState::integer, "an integer");
    }

    public boolean flag(String key, boolean present) {
        return field(key, present, value -> value instanceof Boolean flag ? flag : null, "true or false");
    }

    /** One of an enumeration's constants, by its {@code toString}. */
    public <E extends Enum<E>> E choice(String key, E present) {
        E[] constants = present.getDeclaringClass().getEnumConstants();
        return field(key, present, Object::toString, value -> Arrays.stream(constants)
                .filter(constant -> constant.toString().equals(value)).findFirst().orElse(null), "one of " + Arrays.toString(constants));
    }

    /** A number for each group: as many as there are. */
    public double[] numbers(String key, double[] present) {
        double[] numbers = anyNumbers(key, present);
        if (numbers.length != present.length) {
            throw refusal(key, "expected " + present.length + " numbers, one for each group, found " + numbers.length);
        }
        return numbers;
    }

    /** Numbers, however many. */
    public double[] anyNumbers(String key, double[] present) {
        List<Double> numbers = list(key, Arrays.stream(present).boxed().toList(),
                value -> value instanceof Number number ? number.doubleValue() : null, "a list of numbers");
        return numbers.stream().mapToDouble(Double::doubleValue).toArray();
    }

    public long[] integers(String key, long[] present) {
        return list(key, Arrays.stream(present).boxed().toList(), SchedulerState::integer, "a list of integers").stream()
                .mapToLong(Long::longValue).toArray();
    }

    /** Anything else: how it is written and read, which says null of what it cannot read. */
    <T> T field(String key, T present, Function<T, ? extends @Nullable Object> write, Function<Object, @Nullable T> read,
                String expected) {
        if (isAbsent(key, loaded == null ? write.apply(present) : null)) {
            return present;
        }
        Object value = value(key);
        T found = value == null ? null : read.apply(value);
        if (found == null) {
            throw refusal(key, "expected " + expected + ", found " + value);
        }
        return found;
    }

    /** A field that only torch has: noted with torch's value, whatever is loaded. */
    void constant(String key, @Nullable Object value) {
        isAbsent(key, value);
    }

    /** A key that torch writes sometimes, and that says nothing here. */
    void ignored(String key) {
        if (loaded != null) {
            saved.put(key, null);
        }
    }

    /** The states of the parts of a scheduler; a part that has none is null. */
    void parts(String key, List<? extends @Nullable Stateful> parts) {
        List<@Nullable Object> states = new ArrayList<>();
        parts.forEach(part -> states.add(loaded == null && part != null ? part.stateDict() : null));
        if (isAbsent(key, states)) {
            return;
        }
        if (!(value(key) instanceof List<?> list) || list.size() != parts.size()) {
            throw refusal(key, "expected a list of " + parts.size() + " states, found " + value(key));
        }
        for (int i = 0; i < parts.size(); i++) {
            part(key + "[" + i + "]", parts.get(i), list.get(i));
        }
    }

    /** The state of one part, if it has any. */
    void part(String key, @Nullable Stateful part) {
        if (!isAbsent(key, loaded == null && part != null ? part.stateDict() : null)) {
            part(key, part, value(key));
        }
    }

    private void part(String key, @Nullable Stateful part, @Nullable Object value) {
        if (value instanceof Map<?, ?> map && part != null) {
            @SuppressWarnings("unchecked") // the keys of a state are strings, or it is refused as unknown
            Map<String, ? extends @Nullable Object> state = (Map<String, ? extends @Nullable Object>) map;
            part.loadStateDict(state);
        } else if (value != null && !(value instanceof Map<?, ?> map && map.isEmpty())) {
            throw refusal(key, part == null ? "expected null, since what it is for has no state, found " + value
                    : "expected a state, found " + value);
        }
    }

    /** Refuses keys that no field has. */
    void finish() {
        if (loaded != null) {
            for (Object key : loaded.keySet()) {
                if (!saved.containsKey(key)) {
                    throw PanoptimException.invalid(call, "unknown key '" + key + "': expected " + new TreeSet<>(saved.keySet()));
                }
            }
        }
    }

    PanoptimException refusal(String key, String message) {
        return PanoptimException.invalid(call, "'" + key + "': " + message);
    }

    private <T> T field(String key, T present, Function<Object, @Nullable T> read, String expected) {
        return field(key, present, value -> value, read, expected);
    }

    private <T> List<T> list(String key, List<T> present, Function<Object, @Nullable T> element, String expected) {
        return field(key, present, value -> {
            if (!(value instanceof List<?> list)) {
                return null;
            }
            List<T> elements = new ArrayList<>();
            for (Object one : list) {
                T found = one == null ? null : element.apply(one);
                if (found == null) {
                    return null;
                }
                elements.add(found);
            }
            return elements;
        }, expected);
    }

    private static @Nullable Long integer(Object value) {
        return value instanceof Long || value instanceof Integer ? (Long) ((Number) value).longValue()
                : value instanceof Double number && number == Math.rint(number) && Math.abs(number) < 1L << 53
                ? (Long) number.longValue() : null;
    }

    /** Notes the key, with its value when saving; whether there is nothing to read. */
    private boolean isAbsent(String key, @Nullable Object present) {
        saved.put(key, present);
        return loaded == null || !loaded.containsKey(key);
    }

    private @Nullable Object value(String key) {
        return loaded == null ? null : loaded.get(key);
    }
}
