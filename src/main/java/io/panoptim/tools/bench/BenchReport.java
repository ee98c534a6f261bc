package io.panoptim.tools.bench;

import io.panoptim.tools.train.Charts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.knowm.xchart.CategoryChart;

/**
 * What {@code panoptim bench} has measured, with all that a reader needs to trust it.
 *
 * @param machine processor, memory, versions
 * @param missing contenders that could not be had, each with the reason
 */
record BenchReport(LocalDate date, String command, Map<String, String> machine, int rounds, List<Measured> workloads,
                   Map<String, String> missing) {
    /** One workload's times, the library's own first. */
    record Measured(Workload workload, List<Comparison.Times> times) {
        Comparison.Times own() {
            return times.getFirst();
        }

        double gigabytesPerSecond(Comparison.Times of) {
            return workload.bytes() / of.median() * 1e-9;
        }
    }

    /** Processor, memory, and versions. */
    static Map<String, String> thisMachine() throws IOException {
        Map<String, String> machine = new LinkedHashMap<>();
        machine.put("processor", line("/proc/cpuinfo", "model name").orElse(System.getProperty("os.arch")) + ", "
                + Runtime.getRuntime().availableProcessors() + " logical processors");
        line("/proc/meminfo", "MemTotal").ifPresent(memory -> machine.put("memory",
                Long.parseLong(memory.replaceAll("\\D", "")) / (1 << 20) + " GiB"));
        machine.put("system", System.getProperty("os.name") + " " + System.getProperty("os.version"));
        machine.put("java", Runtime.version() + " (" + System.getProperty("java.vendor") + ")");
        return machine;
    }

    private static Optional<String> line(String file, String key) throws IOException {
        Path path = Path.of(file);
        if (!Files.isReadable(path)) {
            return Optional.empty();
        }
        try (Stream<String> lines = Files.lines(path)) {
            return lines.filter(line -> line.startsWith(key)).findFirst().map(line -> line.substring(line.indexOf(':') + 1).strip());
        }
    }

    /** A table of one workload, for a terminal. */
    static String table(Measured measured) {
        StringBuilder text = new StringBuilder(measured.workload.title()).append('\n');
        for (Comparison.Times times : measured.times) {
            text.append(String.format(Locale.ROOT, "  %-14s %10s a step  %7.1f GB/s  %s%n", times.name(), time(times.median()),
                    measured.gigabytesPerSecond(times), times == measured.own() ? "" : verdict(times.ratioTo(measured.own()))));
        }
        return text.toString();
    }

    private static String verdict(double ratio) {
        return String.format(Locale.ROOT, "panoptim is %.2f times as fast", ratio);
    }

    /** With a unit that fits. */
    static String time(double seconds) {
        return seconds < 1e-6 ? String.format(Locale.ROOT, "%.0f ns", seconds * 1e9)
                : seconds < 1e-3 ? String.format(Locale.ROOT, "%.2f us", seconds * 1e6)
                : seconds < 1 ? String.format(Locale.ROOT, "%.2f ms", seconds * 1e3) : String.format(Locale.ROOT, "%.3f s", seconds);
    }

    /** For {@code bench/results/}. */
    String markdown() {
        StringBuilder text = new StringBuilder("# Steps, side by side\n\n").append(date).append(", `").append(command).append("`\n\n");
        machine.forEach((key, value) -> text.append("- ").append(key).append(": ").append(value).append('\n'));
        text.append("- ").append(rounds).append(" rounds, in which each takes its turn with the same number of steps; medians. A ratio is the "
                + "median over the rounds of the other's time divided by Panoptim's; bytes are those that a step has to move.\n");
        missing.forEach((name, reason) -> text.append("- ").append(name).append(" is missing: ").append(reason).append('\n'));
        text.append("\n## How many times as long as Panoptim's the others' steps take\n\n").append(summary());
        for (Measured measured : workloads) {
            text.append("\n## ").append(measured.workload.title()).append("\n\n| | a step | GB/s | ratio |\n| --- | --- | --- | --- |\n");
            for (Comparison.Times times : measured.times) {
                text.append(String.format(Locale.ROOT, "| %s | %s | %.1f | %s |%n", times.description(), time(times.median()),
                        measured.gigabytesPerSecond(times),
                        times == measured.own() ? "" : String.format(Locale.ROOT, "%.2f", times.ratioTo(measured.own()))));
            }
        }
        return text.toString();
    }

    /** A line for each workload, a column for each of the others. */
    private String summary() {
        List<String> names = workloads.stream().flatMap(measured -> measured.times.stream().skip(1)).map(Comparison.Times::name).distinct()
                .toList();
        StringBuilder text = new StringBuilder("| | ").append(String.join(" | ", names)).append(" |\n|").append(" --- |".repeat(names.size() + 1))
                .append('\n');
        for (Measured measured : workloads) {
            text.append("| ").append(measured.workload.title()).append(" |");
            for (String name : names) {
                text.append(measured.times.stream().filter(times -> times.name().equals(name)).findFirst()
                        .map(times -> String.format(Locale.ROOT, " %.2f |", times.ratioTo(measured.own()))).orElse(" |"));
            }
            text.append('\n');
        }
        return text.toString();
    }

    /** The same for programs. */
    Map<String, Object> json() {
        List<Map<String, Object>> all = new ArrayList<>();
        for (Measured measured : workloads) {
            List<Map<String, Object>> times = measured.times.stream().map(one -> {
                Map<String, Object> entry = new LinkedHashMap<>();
                entry.put("name", one.name());
                entry.put("description", one.description());
                entry.put("median_seconds", one.median());
                entry.put("fastest_seconds", one.fastest());
                entry.put("gigabytes_per_second", measured.gigabytesPerSecond(one));
                entry.put("ratio", one.ratioTo(measured.own()));
                entry.put("seconds", one.seconds());
                return entry;
            }).toList();
            all.add(Map.of("name", measured.workload.name(), "title", measured.workload.title(), "elements", measured.workload.elements(),
                    "tensors", measured.workload.shapes().size(), "bytes", measured.workload.bytes(), "times", times));
        }
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("date", date.toString());
        report.put("command", command);
        report.put("machine", machine);
        report.put("rounds", rounds);
        report.put("missing", missing);
        report.put("workloads", all);
        return report;
    }

    /** How many times as fast as each of the others the library is. */
    CategoryChart chart() {
        List<String> groups = workloads.stream().map(measured -> measured.workload.name()).toList();
        Map<String, double[]> series = new LinkedHashMap<>();
        for (int i = 0; i < workloads.size(); i++) {
            Measured measured = workloads.get(i);
            for (Comparison.Times times : measured.times.subList(1, measured.times.size())) {
                series.computeIfAbsent(times.name(), name -> workloads.stream().mapToDouble(each -> Double.NaN).toArray())[i] =
                        times.ratioTo(measured.own());
            }
        }
        return Charts.bars("How many times as fast Panoptim's step is", "other's time / Panoptim's", groups, series);
    }
}
