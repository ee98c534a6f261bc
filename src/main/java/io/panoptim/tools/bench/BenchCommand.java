package io.panoptim.tools.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tools.Progress;
import io.panoptim.tools.train.Charts;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code panoptim bench}: how fast steps are on this machine, beside what else there is. */
@Command(name = "bench", sortOptions = false,
        description = "Times steps on this machine, in turn with other libraries' on the same numbers: about a minute.")
public final class BenchCommand implements Runnable {
    private static final List<ContenderProvider> PROVIDERS = List.of(new TorchProvider("fused"), new TorchProvider("foreach"),
            new TorchProvider("for-loop"), new PlainLoop.Provider(),
            new JvmPeer("libtorch", "io.panoptim.bench.peers.LibTorch", EnumSet.allOf(Workload.Rule.class)),
            new JvmPeer("djl", "io.panoptim.bench.peers.Djl", EnumSet.of(Workload.Rule.ADAM, Workload.Rule.SGD)),
            new JvmPeer("nd4j", "io.panoptim.bench.peers.Nd4j", EnumSet.of(Workload.Rule.ADAM, Workload.Rule.ADAGRAD)));

    private static final List<String> IN_A_MINUTE = List.of("one", "thousand", "small");

    /** Workloads' names, for the help text. */
    static final class Names extends ArrayList<String> {
        private static final long serialVersionUID = 1L;

        Names() {
            super(Workload.all().stream().map(Workload::name).toList());
        }
    }

    @Spec
    private CommandSpec spec;

    @Option(names = "--workload", split = ",", paramLabel = "NAME", completionCandidates = Names.class,
            description = "Which ones, of ${COMPLETION-CANDIDATES}, or all. Default: one,thousand,small.")
    private @Nullable List<String> workloads;

    @Option(names = "--shapes", paramLabel = "FILE", description = "AdamW over the tensors of such a file as bench/shapes/gpt2.txt instead: "
            + "a line for each, with its name, a tab and its dimensions, 768x2304.")
    private @Nullable Path shapes;

    @Option(names = "--compare", split = ",", paramLabel = "NAME", description = "Beside which, of torch-fused, torch-foreach, "
            + "torch-for-loop (torch's default), plain-loop (what memory allows) and those of bench/peers: libtorch, djl, nd4j. Default: all.")
    private @Nullable List<String> compare;

    @Option(names = "--python", defaultValue = "python3", paramLabel = "COMMAND", description = "A Python that has torch. Default: ${DEFAULT-VALUE}.")
    private String python;

    @Option(names = "--threads", paramLabel = "N", description = "Threads of each. Default: as many as there are processors.")
    private @Nullable Integer threads;

    @Option(names = "--rounds", defaultValue = "5", paramLabel = "N", description = "How often each takes its turn. Default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(names = "--output", paramLabel = "FOLDER", description = "Write report.md, report.json and report.png there.")
    private @Nullable Path output;

    @Override
    public void run() {
        try {
            measure(spec.commandLine().getOut());
        } catch (IOException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, "bench", failure.toString(), failure);
        }
    }

    private void measure(PrintWriter out) throws IOException {
        Setting setting = new Setting(threads == null ? Runtime.getRuntime().availableProcessors() : threads, python);
        List<Workload> chosen = shapes == null ? chosen() : List.of(read(shapes));
        if (rounds < 1) {
            throw PanoptimException.invalid("--rounds", rounds + ": expected at least 1");
        }
        if (output != null) {
            Files.createDirectories(output);
        }
        Map<String, String> missing = new LinkedHashMap<>();
        List<ContenderProvider> others = others(setting, missing);
        missing.forEach((name, reason) -> out.println(name + " is missing: " + reason));
        List<BenchReport.Measured> measured = new ArrayList<>();
        for (Workload workload : chosen) {
            BenchReport.Measured one = measure(workload, others, setting, out);
            out.println(BenchReport.table(one));
            out.flush();
            measured.add(one);
        }
        BenchReport report = new BenchReport(LocalDate.now(), "panoptim " + String.join(" ", spec.commandLine().getParseResult().originalArgs()),
                BenchReport.thisMachine(), rounds, measured, missing);
        if (output != null) {
            write(report, output, out);
        }
    }

    private BenchReport.Measured measure(Workload workload, List<ContenderProvider> others, Setting setting, PrintWriter out) {
        List<ContenderProvider> providers = Stream.concat(Stream.of(new Panoptim.Provider()),
                others.stream().filter(provider -> provider.supports(workload))).toList();
        try (Comparison comparison = new Comparison(workload, providers, setting);
             Progress progress = Progress.of(out, "round", Comparison.reported(rounds))) {
            int[] round = {0};
            return new BenchReport.Measured(workload, comparison.run(rounds, () -> progress.update(++round[0], workload.name())));
        }
    }

    private List<Workload> chosen() {
        if (List.of("all").equals(workloads)) {
            return Workload.all();
        }
        return (workloads == null ? IN_A_MINUTE : workloads).stream().map(name -> Workload.all().stream().filter(workload -> workload.name().equals(name)).findFirst()
                .orElseThrow(() -> PanoptimException.invalid("--workload", "'" + name + "' is none of " + new Names()))).toList();
    }

    private List<ContenderProvider> others(Setting setting, Map<String, String> missing) {
        Map<String, ContenderProvider> known = new LinkedHashMap<>();
        PROVIDERS.forEach(provider -> known.put(provider.name(), provider));
        List<ContenderProvider> found = new ArrayList<>();
        for (String name : compare == null ? known.keySet() : compare) {
            ContenderProvider provider = known.get(name);
            if (provider == null) {
                throw PanoptimException.invalid("--compare", "'" + name + "' is none of " + known.keySet());
            }
            Optional<String> reason = provider.unavailable(setting);
            reason.ifPresentOrElse(why -> missing.put(name, why), () -> found.add(provider));
        }
        return found;
    }

    private static Workload read(Path file) throws IOException {
        List<long[]> shapes = new ArrayList<>();
        List<String> lines = Files.readAllLines(file);
        for (int i = 0; i < lines.size(); i++) {
            String line = lines.get(i);
            if (!line.isBlank() && !line.startsWith("#")) {
                String dimensions = line.substring(line.indexOf('\t') + 1).strip();
                if (!dimensions.matches("\\d+(x\\d+)*")) {
                    throw PanoptimException.invalid("--shapes", file + ", line " + (i + 1) + ": '" + line
                            + "': expected a name, a tab and dimensions such as 768x2304");
                }
                shapes.add(Arrays.stream(dimensions.split("x")).mapToLong(Long::parseLong).toArray());
            }
        }
        String name = String.valueOf(file.getFileName()).replaceAll("\\.[^.]*$", "");
        return new Workload(name, "AdamW, the " + shapes.size() + " tensors of " + name, Workload.Rule.ADAMW, shapes, Workload.Extent.STEP);
    }

    private static void write(BenchReport report, Path folder, PrintWriter out) throws IOException {
        Files.writeString(folder.resolve("report.md"), report.markdown());
        new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValue(folder.resolve("report.json").toFile(), report.json());
        out.println("wrote " + folder.resolve("report.md") + " and " + folder.resolve("report.json"));
        Optional<String> failure = Charts.unavailable();
        if (failure.isEmpty() && report.workloads().stream().anyMatch(measured -> measured.times().size() > 1)) {
            failure = Charts.attempt(() -> out.println("wrote " + folder.resolve(Charts.save(report.chart(), folder, "report.png"))));
        }
        failure.ifPresent(reason -> out.println("no chart: " + reason));
    }
}
