package io.panoptim.optim;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

/** Hooks in the order in which they are called. */
final class Hooks<H> {
    /** The same hook may be registered twice, and be removed once. */
    private record Registered<H>(H hook, Object identity) {}

    private final List<Registered<H>> registered = new CopyOnWriteArrayList<>();

    Optimizer.Handle add(H hook, boolean prepend) {
        Registered<H> added = new Registered<>(hook, new Object());
        registered.add(prepend ? 0 : registered.size(), added);
        return () -> registered.remove(added);
    }

    boolean isEmpty() {
        return registered.isEmpty();
    }

    /** Calls those that there are now: what they add or remove counts from the next time on. */
    void each(Consumer<H> call) {
        registered.forEach(one -> call.accept(one.hook));
    }
}
