package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** A state dictionary to be loaded, in torch's layout: whose state is whose, and what is wrong by its path. */
final class StateDict {
    /**
     * What is saved of one parameter or one group.
     *
     * @param path for messages
     */
    record Saved(String call, String path, Map<?, ?> values) {
        /** An entry, or null if there is none, or Python's {@code None}. */
        @Nullable Object get(String key) {
            return values.get(key);
        }

        Object require(String key) {
            Object value = get(key);
            if (value == null) {
                throw refusal("lacks '" + key + "'");
            }
            return value;
        }

        /** A number, a boolean or a tensor of one element. */
        double number(Optimizer optimizer, String key) {
            Object value = require(key);
            if (value instanceof Tensor tensor && tensor.elements() == 1) {
                return scalar(optimizer, tensor);
            }
            if (value instanceof Boolean flag) {
                return flag ? 1 : 0;
            }
            if (!(value instanceof Number number)) {
                throw refusal(key, "expected a number or a tensor of one element, found " + value);
            }
            return number.doubleValue();
        }

        /** A tensor of this shape, of any type. */
        Tensor tensor(String key, long... shape) {
            Object value = require(key);
            if (!(value instanceof Tensor tensor) || !Arrays.equals(tensor.shape(), shape)) {
                throw refusal(key, "expected a tensor of shape " + Arrays.toString(shape) + ", found " + value);
            }
            tensor.checkAccessible(call, path + "['" + key + "']");
            return tensor;
        }

        /** Refuses entries with other keys. */
        void refuseUnknown(Set<String> known) {
            for (Object key : values.keySet()) {
                if (!known.contains(key)) {
                    throw refusal("has an unknown key '" + key + "': expected " + known);
                }
            }
        }

        PanoptimException refusal(String key, String message) {
            return PanoptimException.invalid(call, path + "['" + key + "']: " + message);
        }

        PanoptimException refusal(String message) {
            return PanoptimException.invalid(call, path + " " + message);
        }
    }

    final String call;
    /** By group. */
    final List<Saved> groups = new ArrayList<>();
    /** By parameter, of those that have any. */
    final Map<Parameter, Saved> states = new LinkedHashMap<>();

    /** Reads the outer layout, with torch's checks and messages. */
    StateDict(String call, List<ParamGroup> present, Map<String, ? extends @Nullable Object> dict) {
        this.call = call;
        List<?> saved = list("param_groups", dict.get("param_groups"));
        Check.check(saved.size() == present.size(), call, "loaded state dict has a different number of parameter groups");
        Map<Long, Parameter> numbered = new HashMap<>();
        for (int i = 0; i < saved.size(); i++) {
            Saved group = new Saved(call, "param_groups[" + i + "]", map("param_groups[" + i + "]", saved.get(i)));
            groups.add(group);
            List<?> indices = list(group.path + "['params']", group.get("params"));
            List<Parameter> params = present.get(i).params();
            Check.check(indices.size() == params.size(), call,
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group");
            for (int p = 0; p < params.size(); p++) {
                numbered.put(index(group.path + "['params'][" + p + "]", indices.get(p)), params.get(p));
            }
        }
        map("state", dict.get("state")).forEach((key, values) -> {
            String path = "state[" + key + "]";
            Parameter parameter = numbered.get(index(path, key));
            Check.check(parameter != null, call, path + ": no group has this parameter");
            states.put(parameter, new Saved(call, path, map(path, values)));
        });
    }

    private List<?> list(String path, @Nullable Object value) {
        if (value instanceof Collection<?> collection) {
            return new ArrayList<>(collection);
        }
        throw PanoptimException.invalid(call, path + ": expected a list, found " + value);
    }

    private Map<?, ?> map(String path, @Nullable Object value) {
        if (value instanceof Map<?, ?> map) {
            return map;
        }
        throw PanoptimException.invalid(call, path + ": expected a map, found " + value);
    }

    private long index(String path, @Nullable Object value) {
        if (value instanceof Integer || value instanceof Long) {
            return ((Number) value).longValue();
        }
        throw PanoptimException.invalid(call, path + ": expected a parameter's number, found " + value);
    }

    /** Copies the elements of a tensor of the same shape, of any type and layout, in the order of the optimizer's stream. */
    static void copy(Optimizer optimizer, Tensor from, Tensor to) {
        if (from.elements() == 0) {
            return;
        }
        if (from.dtype() == to.dtype() && from.sameLayout(to)) {
            optimizer.engine().copy(from, to, optimizer.stream());
            return;
        }
        try (Arena arena = Arena.ofShared()) {
            Tensor target = to.device().kind() == Device.Kind.CPU ? to : like(arena, to.dtype(), to);
            copyOnHost(onHost(optimizer, from), target);
            if (target != to) {
                optimizer.engine().copy(target, to, optimizer.stream());
            }
        }
    }

    /** The same of tensors in the CPU's memory, rounded once. */
    static void copyOnHost(Tensor from, Tensor to) {
        long[] shape = to.shape();
        long[] position = new long[shape.length];
        for (long i = 0; i < to.elements(); i++) {
            to.set(offset(position, to.strides()), from.get(offset(position, from.strides())));
            advance(position, shape);
        }
    }

    /** A tensor in the CPU's memory, or a copy there. */
    static Tensor onHost(Optimizer optimizer, Tensor tensor) {
        if (tensor.device().kind() == Device.Kind.CPU) {
            return tensor;
        }
        Tensor copy = like(Arena.ofAuto(), tensor.dtype(), tensor);
        optimizer.engine().copy(tensor, copy, optimizer.stream());
        return copy;
    }

    private static Tensor like(Arena arena, DType dtype, Tensor tensor) {
        return Tensor.of(arena.allocate(tensor.elements() * dtype.bytes(), 64), dtype, tensor.shape(), tensor.strides());
    }

    private static long offset(long[] position, long[] strides) {
        long offset = 0;
        for (int i = 0; i < position.length; i++) {
            offset += position[i] * strides[i];
        }
        return offset;
    }

    private static void advance(long[] position, long[] shape) {
        for (int i = shape.length - 1; i >= 0; i--) {
            if (++position[i] < shape[i]) {
                return;
            }
            position[i] = 0;
        }
    }

    /** One number of the optimizer's memory. */
    static double scalar(Optimizer optimizer, Tensor tensor) {
        return onHost(optimizer, tensor).get(0);
    }
}
