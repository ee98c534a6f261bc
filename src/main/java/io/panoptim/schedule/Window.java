package io.panoptim.schedule;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** An average over the last numbers, whose sum is carried along, as {@code transformers.optimization.StreamingAverage}. */
final class Window {
    private final double[] values;
    private int count;
    private int oldest;
    private double sum;

    Window(int size) {
        values = new double[size];
    }

    int size() {
        return values.length;
    }

    /** Takes a number in, and returns the average. */
    double average(double value) {
        sum += value;
        if (count < values.length) {
            values[count++] = value;
        } else {
            sum -= values[oldest];
            values[oldest] = value;
            oldest = (oldest + 1) % values.length;
        }
        return sum / count;
    }

    void clear() {
        count = 0;
        oldest = 0;
        sum = 0;
    }

    Map<String, @Nullable Object> state() {
        List<Double> inOrder = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            inOrder.add(values[(oldest + i) % values.length]);
        }
        Map<String, @Nullable Object> state = new LinkedHashMap<>();
        state.put("window_size", (long) values.length);
        state.put("values", inOrder);
        state.put("sum", sum);
        return state;
    }

    static @Nullable Window of(Object state) {
        if (!(state instanceof Map<?, ?> map && map.get("window_size") instanceof Number size && map.get("values") instanceof List<?> list
                && map.get("sum") instanceof Number sum && size.intValue() >= Math.max(1, list.size()))) {
            return null;
        }
        Window window = new Window(size.intValue());
        for (Object value : list) {
            if (!(value instanceof Number number)) {
                return null;
            }
            window.values[window.count++] = number.doubleValue();
        }
        window.sum = sum.doubleValue();
        return window;
    }
}
