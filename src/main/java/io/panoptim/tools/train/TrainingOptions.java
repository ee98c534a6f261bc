package io.panoptim.tools.train;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.Device;
import io.panoptim.tools.OptimizerKind;
import io.panoptim.tools.SchedulerKind;
import io.panoptim.tools.train.Entrant.Choice;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The options that all experiments have, each experiment with its own defaults, and runs as they say. */
public final class TrainingOptions {
    private static final String DEFAULT = " Default: ${DEFAULT-VALUE}.";
    static final String LR = "--lr";
    private static final String OPTIMIZER = "--optimizer";
    private static final String SCHEDULER = "--scheduler";
    private static final String BEST = "best";

    @Spec(Spec.Target.MIXEE)
    private CommandSpec spec;

    @Option(names = OPTIMIZER, paramLabel = "NAME[:KEY=VALUE,...]", completionCandidates = OptimizerKind.Names.class, description =
            "One of ${COMPLETION-CANDIDATES}, with PyTorch's keys and defaults but for the learning rate; a list with '+' as in "
                    + "Adam:betas=0.9+0.99,amsgrad=true." + DEFAULT)
    private String optimizer;

    @Option(names = LR, paramLabel = "RATE", converter = LearningRate.Converter.class, description =
            "The initial learning rate, unless the optimizer's keys give one." + DEFAULT)
    private LearningRate lr;

    @Option(names = SCHEDULER, paramLabel = "NAME:KEY=VALUE,...", completionCandidates = SchedulerKind.Names.class,
            description = "Changes the learning rate after each epoch. One of ${COMPLETION-CANDIDATES}, with PyTorch's keys, a "
                    + "list with '+' as in MultiStepLR:milestones=500+750,gamma=0.1; or " + Schedule.MANUAL
                    + ":every=N,factor=F; or " + Schedule.NONE + "." + DEFAULT)
    private String scheduler;

    @Option(names = "--epochs", paramLabel = "N", description = "How many times to go through the data." + DEFAULT)
    private int epochs;

    @Option(names = "--seed", paramLabel = "N", description =
            "Of all that is random, as the initial parameters: equal seeds give equal results." + DEFAULT)
    private long seed;

    @Option(names = "--device", paramLabel = "NAME", description =
            "The engine: reference, cpu, cuda, or the best that can be had." + DEFAULT)
    private String device = BEST;

    @Option(names = "--output", paramLabel = "DIR", description = "The folder for the plots and " + Session.CSV + "." + DEFAULT)
    private Path output;

    /** The options with an experiment's defaults. */
    public TrainingOptions(String optimizer, LearningRate lr, String scheduler, int epochs, Path output) {
        this.optimizer = optimizer;
        this.lr = lr;
        this.scheduler = scheduler;
        this.epochs = epochs;
        this.output = output;
    }

    /** Whether an option was given. */
    public boolean given(String option) {
        return spec.commandLine().getParseResult().hasMatchedOption(option);
    }

    /** Trains as these options say. */
    public <E extends Experiment> void run(Experiment.Factory<E> factory, Run.Plots<E> plots) {
        run(List.of(entrant(factory)), plots);
    }

    /** Trains as these options say, and as others that are to be compared with it. */
    public <E extends Experiment> void run(Experiment.Factory<E> factory, Run.Plots<E> plots, Comparison others) {
        run(Stream.concat(Stream.of(entrant(factory)), others.runs().stream()
                .map(text -> entrant(Comparison.OPTION, text, factory))).toList(), plots);
    }

    /** Trains one after the other. */
    public <E extends Experiment> void run(List<Entrant<E>> entrants, Run.Plots<E> plots) {
        run(entrants, plots, spec.commandLine().getOut(), spec.commandLine().getErr(), Charts::unavailable);
    }

    /** Writes the results and reports on the way. What cannot be drawn is said in one line, and is no failure. */
    <E extends Experiment> void run(List<Entrant<E>> entrants, Run.Plots<E> plots, PrintWriter out, PrintWriter err,
                                    Supplier<Optional<String>> chartsUnavailable) {
        if (epochs < 1) {
            throw PanoptimException.invalid("--epochs", epochs + ": at least 1 is needed");
        }
        Engine engine = device.equals(BEST) ? Engines.forDevice(Device.best()) : Engines.named(device);
        try (Session<E> session = new Session<>(engine, seed, lr, entrants)) {
            createFolder();
            List<Run<E>> runs = session.train(epochs, out);
            List<String> files = session.write(runs, plots, output, err, chartsUnavailable);
            Session.report(out, "written", String.join(", ", files) + " in " + output.toAbsolutePath().normalize());
            out.flush();
        } catch (IOException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, "--output", "cannot write into " + output + ": " + failure, failure);
        }
    }

    /** Of what these options say. */
    public <E extends Experiment> Entrant<E> entrant(Experiment.Factory<E> factory) {
        String label = optimizer + (scheduler.equals(Schedule.NONE) ? "" : Comparison.WITH + scheduler);
        return new Entrant<>(label, factory, List.of(optimizer()), scheduler());
    }

    /**
     * Of what an option says.
     *
     * @param text {@code OPTIMIZER} or {@code OPTIMIZER@SCHEDULER}, both as the options of those names
     */
    public <E extends Experiment> Entrant<E> entrant(String option, String text, Experiment.Factory<E> factory) {
        String[] parts = text.split(Comparison.WITH, 2);
        return new Entrant<>(text, factory, List.of(new Choice(option, parts[0])),
                parts.length == 1 ? scheduler() : new Choice(option, parts[1]));
    }

    /** What {@code --optimizer} says. */
    public Choice optimizer() {
        return new Choice(OPTIMIZER, optimizer);
    }

    /** What {@code --scheduler} says. */
    public Choice scheduler() {
        return new Choice(SCHEDULER, scheduler);
    }

    /** Before the training, so that none is lost. */
    private void createFolder() {
        try {
            Files.createDirectories(output);
        } catch (IOException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, "--output", output + " cannot be created: " + failure, failure);
        }
    }
}
