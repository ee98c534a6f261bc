package io.panoptim.tools.train;

import java.util.List;
import picocli.CommandLine.Option;

/** The option to train several times. */
public final class Comparison {
    static final String OPTION = "--compare";
    /** Between an optimizer and its scheduler. */
    static final String WITH = "@";

    @Option(names = OPTION, arity = "1..*", paramLabel = "OPTIMIZER[@SCHEDULER]", description =
            "Train with these as well, each from the same start, and draw all in the same plots, as in --compare SGD:lr=0.5 "
                    + "Adam@StepLR:step_size=50. Without @SCHEDULER they have the scheduler of --scheduler.")
    private List<String> runs = List.of();

    List<String> runs() {
        return runs;
    }
}
