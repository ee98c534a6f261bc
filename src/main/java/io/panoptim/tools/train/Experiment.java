package io.panoptim.tools.train;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Parameter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** A model and its data. */
public interface Experiment extends AutoCloseable {
    /** Makes an experiment whose parameters an engine can update; equal seeds make equal ones. */
    interface Factory {
        Experiment create(Engine engine, long seed);
    }

    /** One line: data and model. */
    String description();

    List<Parameter> parameters();

    /** Sets the gradients of all parameters, and returns the loss. */
    double lossAndGradients();

    /** One line: how good the model is now. */
    String result();

    /** Draws what only this experiment has to show, and returns the files' names. */
    List<String> draw(Path folder) throws IOException;

    /** Frees parameters and gradients. */
    @Override
    void close();
}
