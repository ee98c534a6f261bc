package io.panoptim.tools.train.trace2d;

import io.panoptim.PanoptimException;
import io.panoptim.tools.train.Comparison;
import io.panoptim.tools.train.Entrant;
import io.panoptim.tools.train.Experiment;
import io.panoptim.tools.train.LearningRate;
import io.panoptim.tools.train.TrainingOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code panoptim train trace2d}. */
@Command(name = "trace2d", sortOptions = false, description = {
        "Descends on f(x1, x2) = 0.1 x1^2 + 2 x2^2, a step an epoch. Writes the path over lines of equal height as a plot, plots of "
                + "f and the learning rate, and the numbers as CSV.",
        "With --surface VALLEY and nothing said of optimizers it shows a weakness of Adagrad: the walls of this valley close in "
                + "on the way down, gradients grow beyond all that Adagrad has seen, and it jumps up the walls. A learning rate that "
                + "decays, or one that is warmed up, keeps it on the ground."})
public final class Trace2dCommand implements Runnable {
    private static final String LR = "1.8";

    @Mixin
    private TrainingOptions options = new TrainingOptions("Adam", LearningRate.of(0.5, Map.of()), "none", 100, Path.of("trace2d"));

    @Mixin
    private Comparison comparison = new Comparison();

    @Option(names = "--surface", paramLabel = "NAME", description = "One of ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private Surface surface = Surface.BOWL;

    @Option(names = "--start", paramLabel = "X1,X2", split = ",", description = "Where to start. Default: -5,-2, in the valley -5,-1.5.")
    private double[] start = {};

    @Override
    public void run() {
        if (options.given("--start") && start.length != 2) {
            throw PanoptimException.invalid("--start", "expected two numbers with a comma between them, found " + start.length);
        }
        double[] from = options.given("--start") ? start : surface.start();
        Experiment.Factory<Trace2d> factory = (engine, seed) -> new Trace2d(engine, surface, from);
        if (surface == Surface.VALLEY && !options.given("--optimizer") && !options.given("--compare")) {
            options.run(List.of(
                    entrant("Adagrad alone", "none", factory),
                    entrant("Adagrad with decay", "StepLR:step_size=1,gamma=0.98", factory),
                    entrant("Adagrad with warm-up", "LinearLR:start_factor=0.02,total_iters=40", factory)), PathPlot::draw);
        } else {
            options.run(factory, PathPlot::draw, comparison);
        }
    }

    private static Entrant<Trace2d> entrant(String label, String scheduler, Experiment.Factory<Trace2d> factory) {
        return new Entrant<>(label, factory, List.of(new Entrant.Choice("--surface", "Adagrad:lr=" + LR)),
                new Entrant.Choice("--surface", scheduler));
    }
}
