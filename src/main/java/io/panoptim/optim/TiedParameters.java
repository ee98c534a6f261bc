package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Parameter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BiFunction;

/** The places in memory that an optimizer works on, in the order in which they were added, and whose parameters lie there. */
final class TiedParameters<T extends Tied> {
    /** Makes one of a parameter that lies where none did before; slices of one parameter have one number. */
    interface Factory<T> {
        T make(String name, Parameter parameter, int id);
    }

    private final List<T> all = new ArrayList<>();
    private final List<T> view = Collections.unmodifiableList(all);
    private final Map<Object, T> places = new HashMap<>();
    private final Map<Parameter, T> owners = new IdentityHashMap<>();
    /** Numbers of those that are no slices of others. */
    private final Map<Parameter, Integer> wholes = new IdentityHashMap<>();

    void add(ParamGroup group, int groupIndex, Factory<T> factory) {
        for (int i = 0; i < group.params().size(); i++) {
            Parameter parameter = group.params().get(i);
            String name = Tied.name(parameter, i, groupIndex);
            T tied = places.computeIfAbsent(Place.key(parameter), place -> {
                T made = factory.make(name, parameter, wholes.computeIfAbsent(parameter.whole(), whole -> wholes.size()));
                all.add(made);
                return made;
            });
            if (owners.putIfAbsent(parameter, tied) == null) {
                tied.parameters.add(parameter);
            }
        }
    }

    List<T> all() {
        return view;
    }

    /** Where a parameter lies; one that is not the optimizer's is refused. */
    T of(Optimizer optimizer, Parameter parameter) {
        T tied = owners.get(parameter);
        if (tied == null) {
            throw PanoptimException.invalid(optimizer.name() + ".state", parameter + " is not one of this optimizer's");
        }
        return tied;
    }

    /** What is restored of those that a dictionary has state for. */
    <R> Map<T, R> restore(StateDict loaded, BiFunction<T, StateDict.Saved, R> restore) {
        Map<T, R> restored = new IdentityHashMap<>();
        loaded.states.forEach((parameter, saved) -> {
            T tied = Objects.requireNonNull(owners.get(parameter));
            if (restored.containsKey(tied)) {
                throw saved.refusal("is a second state of parameters that are tied: '" + tied.name + "'");
            }
            if (!saved.values().isEmpty()) {
                restored.put(tied, restore.apply(tied, saved));
            }
        });
        return restored;
    }
}
