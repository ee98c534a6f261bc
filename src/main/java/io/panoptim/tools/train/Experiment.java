package io.panoptim.tools.train;

import io.panoptim.engine.Engine;
import java.util.List;
import java.util.Map;

/** A model and its data. */
public interface Experiment extends AutoCloseable {
    /** Makes an experiment whose parameters an engine can update; equal seeds make equal ones. */
    interface Factory<E extends Experiment> {
        E create(Engine engine, long seed);
    }

    /** One line: data and model. */
    String description();

    /** What is trained: for most experiments one task. */
    List<Task> tasks();

    /** How many steps each task takes in an epoch. */
    default int batches() {
        return 1;
    }

    /** Moves on to a batch of an epoch, both counted from 0: the tasks' losses are about it until the next call. */
    default void select(int epoch, int batch) {}

    /**
     * What is measured after each epoch, besides losses and learning rates. What begins with the same word is drawn in one
     * plot.
     */
    default Map<String, Double> measure() {
        return Map.of();
    }

    /** One line: how good the model is now. */
    String result();

    /** Frees parameters and gradients. */
    @Override
    void close();
}
