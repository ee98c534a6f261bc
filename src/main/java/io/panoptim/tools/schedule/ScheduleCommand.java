package io.panoptim.tools.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.optim.Optimizer;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.JsonKeys;
import io.panoptim.tools.OptimizerKind;
import io.panoptim.tools.SchedulerKind;
import io.panoptim.tools.replay.Metrics;
import io.panoptim.tools.replay.ReplayConfig;
import io.panoptim.tools.train.Charts;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code panoptim schedule}: what a scheduler does to an optimizer's groups, without training anything. */
@Command(name = "schedule", sortOptions = false,
        description = "Prints what a scheduler does step by step, and draws it, without training anything.")
public final class ScheduleCommand implements Runnable {
    private static final String SCHEDULER = "--scheduler";
    private static final String OPTIMIZER = "--optimizer";
    private static final String LR = "--lr";
    private static final String METRICS = "--metrics";
    private static final String PLOT = "--plot";
    private static final int STEPS = 100;
    private static final int MOST_LINES = 40;

    @Spec
    private CommandSpec spec;

    @ArgGroup(multiplicity = "1")
    private Source source;

    @Option(names = OPTIMIZER, paramLabel = "NAME:KEY=VALUE,...", completionCandidates = OptimizerKind.Names.class,
            description = "For " + SCHEDULER + ": one of ${COMPLETION-CANDIDATES}, with PyTorch's options. Default: SGD.")
    private @Nullable String optimizer;

    @Option(names = LR, split = ",", paramLabel = "RATE",
            description = "For " + SCHEDULER + ": the initial learning rate of each group. Default: one group, 0.1.")
    private double @Nullable [] lrs;

    @Option(names = METRICS, split = ",", paramLabel = "VALUE",
            description = "For " + SCHEDULER + ": what the scheduler watches, after each step.")
    private double @Nullable [] metrics;

    @Option(names = "--steps", paramLabel = "N",
            description = "How many steps. Default: as many as there are metrics, or " + STEPS + ".")
    private @Nullable Integer steps;

    @Option(names = "--every", paramLabel = "N", description =
            "Print every so many steps, and the last. Default: all as CSV, else what fits into " + MOST_LINES + " lines.")
    private @Nullable Integer every;

    @Option(names = "--csv", description = "Print comma-separated values; read back, they are the same doubles.")
    private boolean csv;

    @Option(names = PLOT, paramLabel = "FILE.png|FILE.svg", description = "Draw the learning rates into this file, one line per "
            + "group; what else changes, into others beside it.")
    private @Nullable Path plot;

    /** Where the schedule is described. */
    private static final class Source {
        @Option(names = "--config", required = true, paramLabel = "CONFIG.json",
                description = "The configuration of a replay: optimizer, options, groups, scheduler, metrics.")
        private @Nullable Path config;

        @Option(names = SCHEDULER, required = true, paramLabel = "NAME:KEY=VALUE,...",
                completionCandidates = SchedulerKind.Names.class, description = "One of ${COMPLETION-CANDIDATES}, with PyTorch's keys, "
                        + "a list with '+' as in MultiStepLR:milestones=50+75,gamma=0.1; or as JSON, which also nests: "
                        + "'{\"name\": \"WarmupLR\", \"warmup_steps\": 10, \"scheduler\": {...}}'.")
        private @Nullable String scheduler;
    }

    /** A described schedule. */
    private record Described(OptimizerKind.Recipe optimizer, int groups, JsonKeys scheduler, Metrics metrics) {}

    @Override
    public void run() {
        checkNumber("--steps", steps);
        checkNumber("--every", every);
        checkPlot();
        Described described = source.config != null ? read(source.config) : describe();
        Course course = course(described);
        PrintWriter out = spec.commandLine().getOut();
        int fitting = csv ? 1 : Math.ceilDiv(course.steps(), MOST_LINES);
        int interval = every != null ? every : fitting;
        out.print(csv ? course.csv(interval) : course.table(interval));
        out.flush();
        if (plot != null) {
            draw(course, plot);
        }
    }

    private static void checkNumber(String option, @Nullable Integer number) {
        if (number != null && number < 1) {
            throw PanoptimException.invalid(option, number + ": at least 1 is needed");
        }
    }

    private void checkPlot() {
        if (plot == null) {
            return;
        }
        if (!plot.toString().endsWith(".png") && !plot.toString().endsWith(".svg")) {
            throw PanoptimException.invalid(PLOT, plot + ": expected a name that ends with .png or .svg");
        }
        Path folder = plot.toAbsolutePath().getParent();
        if (folder == null || !Files.isDirectory(folder)) {
            throw new PanoptimException(Code.UNAVAILABLE, PLOT, plot + ": cannot be written: its folder does not exist");
        }
    }

    private Described read(Path config) {
        for (Map.Entry<String, @Nullable Object> given : given().entrySet()) {
            if (given.getValue() != null) {
                throw PanoptimException.invalid(given.getKey(), "is for " + SCHEDULER + ": the configuration says it itself");
            }
        }
        ReplayConfig read = ReplayConfig.read("schedule", config);
        return new Described(read.optimizer(), Math.max(1, read.groups().size()), read.scheduler().orElseThrow(() ->
                PanoptimException.invalid("schedule", config + ": $: 'scheduler' is missing")), read.metrics());
    }

    private Map<String, @Nullable Object> given() {
        Map<String, @Nullable Object> given = new LinkedHashMap<>();
        given.put(OPTIMIZER, optimizer);
        given.put(LR, lrs);
        given.put(METRICS, metrics);
        return given;
    }

    private Described describe() {
        JsonKeys options = JsonKeys.parse(OPTIMIZER, optimizer == null ? "SGD" : optimizer);
        OptimizerKind<?, ?> kind = OptimizerKind.named(options.text("name"), message -> PanoptimException.invalid(OPTIMIZER, message));
        List<JsonKeys> groups = new ArrayList<>();
        for (double lr : lrs == null ? new double[] {0.1} : lrs) {
            groups.add(JsonKeys.of(LR, Map.of("lr", lr)));
        }
        List<Double> watched = metrics == null ? List.of() : Arrays.stream(metrics).boxed().toList();
        return new Described(kind.recipe(options, groups), groups.size(), JsonKeys.parse(SCHEDULER, String.valueOf(source.scheduler)),
                new Metrics(watched, message -> PanoptimException.invalid(METRICS, message)));
    }

    private Course course(Described described) {
        Engine engine = Engines.named("reference");
        int length = steps != null ? steps : described.metrics.values().isEmpty() ? STEPS : described.metrics.values().size();
        try (Arena arena = Arena.ofConfined();
             Optimizer made = described.optimizer.make(engine, IntStream.range(0, described.groups)
                     .mapToObj(group -> List.of(Parameter.of("group " + group, Tensor.zeros(arena, DType.FLOAT32, 1, 1)))).toList())) {
            LRScheduler scheduler = SchedulerKind.attach(made, described.scheduler);
            described.metrics.check(scheduler, length - 1);
            return Course.of(made, scheduler, described.metrics, length);
        }
    }

    private void draw(Course course, Path file) {
        try {
            Path folder = file.toAbsolutePath().getParent();
            Optional<String> failure = Charts.unavailable();
            if (failure.isEmpty()) {
                failure = Charts.attempt(() -> {
                    for (Map.Entry<String, Map<String, double[]>> line : course.lines().entrySet()) {
                        String quantity = line.getKey().equals("lr") ? "learning rate" : line.getKey();
                        XYChart chart = Charts.overTime(course.scheduler(), "step", quantity, 0, line.getValue(),
                                XYSeriesRenderStyle.Step);
                        spec.commandLine().getErr().println("panoptim: written: "
                                + folder.resolve(Charts.save(chart, folder, fileName(file, line.getKey()))));
                    }
                });
            }
            if (failure.isPresent()) {
                throw new PanoptimException(Code.UNAVAILABLE, PLOT, failure.get());
            }
        } catch (IOException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, PLOT, file + ": cannot be written: " + failure, failure);
        }
        spec.commandLine().getErr().flush();
    }

    private static String fileName(Path file, String hyperparameter) {
        String name = String.valueOf(file.getFileName());
        int dot = name.lastIndexOf('.');
        return hyperparameter.equals("lr") ? name : name.substring(0, dot) + "-" + hyperparameter + name.substring(dot);
    }
}
