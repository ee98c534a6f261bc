package io.panoptim.tools.train;

import io.panoptim.tools.JsonKeys;
import java.util.List;

/**
 * A training that is to be.
 *
 * @param label tells it from others
 * @param optimizers one for each of the experiment's tasks
 */
public record Entrant<E extends Experiment>(
        String label, Experiment.Factory<E> factory, List<Choice> optimizers, Choice scheduler) {
    /**
     * An optimizer or a scheduler.
     *
     * @param option where it was chosen
     * @param text {@code NAME:KEY=VALUE,...}
     */
    public record Choice(String option, String text) {
        JsonKeys keys() {
            return JsonKeys.parse(option, text);
        }
    }
}
