package io.panoptim.tools.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/**
 * A training that has ended.
 *
 * @param label tells it from the others: its optimizer and scheduler, say
 */
public record Run<E extends Experiment>(String label, E experiment, History history) {
    /** Draws what only one experiment has to show. */
    public interface Plots<E extends Experiment> {
        /** Draws into a folder, and returns the files' names. */
        List<String> draw(List<Run<E>> runs, Path folder) throws IOException;
    }
}
