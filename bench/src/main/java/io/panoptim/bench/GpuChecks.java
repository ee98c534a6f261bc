package io.panoptim.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.panoptim.engine.cuda.CudaEngineProvider;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What {@code run-gpu-checks.sh} does, in the bundle: {@code GpuChecks RESULTS}. Each part is a process of its own, with its output in
 * RESULTS/logs; when one fails the others go on. RESULTS/report.json and report.md say what passed, failed, or was skipped and why. The exit
 * status is 0 if all that was run passed.
 */
public final class GpuChecks {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern TESTS = Pattern.compile("\\[ *(\\d+) tests (successful|failed|aborted|skipped)");
    private static final Pattern SKIPPED = Pattern.compile("\\[[AS]] (?:Assumption failed: )?(.*)");
    private static final Pattern FAILED = Pattern.compile("[+'|-]+ (.*) \\[X] (.*)");

    /** A process's end. */
    private record Ended(int status, String output, Path log, double seconds) {}

    private final Path results;
    private final ArrayNode parts = JSON.createArrayNode();
    private final StringBuilder benchmarks = new StringBuilder();
    /** Why there is no GPU. */
    private final Optional<String> missing = new CudaEngineProvider().unavailable();
    private final boolean standIn = System.getProperty("panoptim.cuda.driver") != null;
    private final @Nullable String python = find("python3");

    private GpuChecks(Path results) throws IOException {
        this.results = results;
        Files.createDirectories(results.resolve("logs"));
    }

    /** @param arguments the folder for results */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        System.exit(new GpuChecks(Path.of(arguments[0])).run() ? 0 : 1);
    }

    private boolean run() throws IOException, InterruptedException {
        ObjectNode report = JSON.createObjectNode();
        report.put("date", Instant.now().toString()).put("build", Files.readString(Path.of("BUILD")).strip())
                .put("java", Runtime.version().toString());
        report.put("gpu", gpu());
        report.put("standIn", standIn);
        command("info", 120, java(List.of(), "io.panoptim.tools.Main", "info"));
        report.put("info", Files.readString(results.resolve("logs/info.log")));
        tests("tests", 3600, List.of(), classes("tests"));
        memoryChecker();
        jmh("launch", "LaunchBenchmark");
        jmh("step", "CudaStepBenchmark");
        benchmark();
        report.set("parts", parts);
        Files.writeString(results.resolve("report.json"), JSON.writerWithDefaultPrettyPrinter().writeValueAsString(report));
        Files.writeString(results.resolve("report.md"), markdown(report));
        System.out.println("report: " + results.resolve("report.md"));
        return parts.valueStream().noneMatch(part -> part.get("result").asText().equals("failed"));
    }

    private String gpu() throws IOException, InterruptedException {
        String smi = find("nvidia-smi");
        if (smi == null) {
            return missing.map(reason -> "none: " + reason).orElse("there is one, but no nvidia-smi");
        }
        return start(List.of(smi, "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"), "nvidia-smi", 60)
                .output().strip();
    }

    // ---- The parts

    private void tests(String name, int limit, List<String> prefix, List<String> selected) throws IOException, InterruptedException {
        List<String> options = new ArrayList<>(List.of("-Dpanoptim.test.blas=none", "-Xmx4g"));
        if (!standIn) {
            options.add("-Dpanoptim.test.cuda=" + (missing.isPresent() ? "none" : "gpu"));
        }
        List<String> command = new ArrayList<>(prefix);
        command.addAll(java(options, "org.junit.platform.console.ConsoleLauncher", "execute", "--disable-banner", "--disable-ansi-colors",
                "--details=tree", "--details-theme=ascii"));
        selected.forEach(test -> command.add("--select-class=" + test));
        Ended ended = start(command, name, limit);
        ObjectNode part = part(name, ended.status == 0 ? "passed" : "failed", ended);
        Matcher counts = TESTS.matcher(ended.output);
        while (counts.find()) {
            part.put(counts.group(2), Integer.parseInt(counts.group(1)));
        }
        if (!part.has("successful") || ended.status == 0 && part.get("successful").asInt() == 0) {
            part.put("result", "failed").put("reason", "no tests ran: " + ended.log);
        }
        Map<String, Integer> reasons = new TreeMap<>();
        List<String> failures = new ArrayList<>();
        SKIPPED.matcher(ended.output).results().forEach(found -> reasons.merge(found.group(1), 1, Integer::sum));
        FAILED.matcher(ended.output).results().forEach(found -> failures.add(found.group(1) + ": " + found.group(2)));
        part.set("skippedBecause", JSON.valueToTree(reasons));
        part.set("failures", JSON.valueToTree(failures));
        System.out.println(part);
    }

    /** The tests that a section of the list names. */
    private static List<String> classes(String section) throws IOException {
        return Files.readAllLines(Path.of("bench/gpu-tests.txt")).stream().filter(line -> !line.startsWith("#") && !line.isBlank())
                .map(line -> line.split("\\s+")).filter(words -> section.equals("tests") || Arrays.asList(words).contains(section))
                .map(words -> words[0]).toList();
    }

    private void memoryChecker() throws IOException, InterruptedException {
        String home = Optional.ofNullable(System.getenv("CUDA_HOME")).orElse("/usr/local/cuda");
        String sanitizer = Stream.of("compute-sanitizer", home + "/bin/compute-sanitizer", home + "/compute-sanitizer/compute-sanitizer")
                .map(GpuChecks::find).filter(found -> found != null).findFirst().orElse(null);
        if (sanitizer == null) {
            skip("memcheck", "there is no compute-sanitizer on PATH or in " + home);
        } else if (standIn || missing.isPresent()) {
            skip("memcheck", standIn ? "the stand-in for a driver has no GPU" : missing.orElseThrow());
        } else {
            tests("memcheck", 3600, List.of(sanitizer, "--tool", "memcheck", "--error-exitcode", "99"), classes("memcheck"));
        }
    }

    private void jmh(String name, String benchmark) throws IOException, InterruptedException {
        if (missing.isPresent()) {
            skip(name, missing.get());
            return;
        }
        Path json = results.resolve("logs/" + name + ".json");
        List<String> arguments = new ArrayList<>(List.of(benchmark, "-rf", "json", "-rff", json.toString(), "-foe", "true"));
        if (standIn) { // to see that it works
            arguments.addAll(List.of("-f", "1", "-wi", "1", "-i", "1", "-r", "200ms", "-w", "200ms"));
        }
        Ended ended = start(java(List.of(), "org.openjdk.jmh.Main", arguments.toArray(String[]::new)), name, 1200);
        ObjectNode part = part(name, ended.status == 0 ? "passed" : "failed", ended);
        if (ended.status == 0) {
            JsonNode found = JSON.readTree(json.toFile());
            part.set("benchmarks", found);
            table(name, List.of("benchmark", "parameters", "score", "unit"), found.valueStream().map(run -> List.of(
                    run.get("benchmark").asText().replaceFirst(".*\\.", ""), run.path("params").toString(),
                    "%.3g ± %.2g".formatted(run.at("/primaryMetric/score").asDouble(), run.at("/primaryMetric/scoreError").asDouble()),
                    run.at("/primaryMetric/scoreUnit").asText())).toList());
        }
    }

    private void benchmark() throws IOException, InterruptedException {
        if (missing.isPresent()) {
            skip("benchmark", missing.get());
            return;
        }
        Path json = results.resolve("logs/benchmark.json");
        List<String> arguments = new ArrayList<>(List.of(json.toString()));
        if (python != null) {
            arguments.add(python);
        }
        Ended ended = start(java(List.of(), GpuBenchmark.class.getName(), arguments.toArray(String[]::new)), "benchmark", 3600);
        ObjectNode part = part("benchmark", ended.status == 0 ? "passed" : "failed", ended);
        if (ended.status != 0) {
            return;
        }
        JsonNode found = JSON.readTree(json.toFile());
        part.set("benchmarks", found);
        table("Steps, middle of the rounds; torch: " + found.get("torch"), List.of("optimizer", "tensors", "elements", "dtype", "ms",
                "replayed, ms", "GB/s", "torch, ms", "times torch", "share of the best plain kernel"), found.get("steps").valueStream().map(step -> List.of(
                step.get("optimizer").asText(),
                step.get("name").asText() + " (" + step.get("tensors") + ")", step.get("elements").asText(),
                step.get("dtype").asText(),
                number(step, "seconds", 1e3), number(step, "replayedSeconds", 1e3), number(step, "bytesPerSecond", 1e-9),
                number(step, "torchSeconds", 1e3), number(step, "timesTorch", 1), number(step, "shareOfPlain", 1))).toList());
        table("Products", List.of("binding", "size", "dtype", "symmetric", "ms", "TFLOPS of the whole"), found.get("products").valueStream()
                .map(product -> product.has("skipped") ? List.of(product.get("binding").asText(), "skipped: " + product.get("skipped").asText(),
                        "", "", "", "") : List.of(product.get("binding").asText(), product.get("size").asText(), product.get("dtype").asText(),
                        product.get("symmetric").asText(), number(product, "seconds", 1e3), number(product, "flopsOfTheWhole", 1e-12))).toList());
    }

    // ---- Help

    private static String number(JsonNode node, String field, double factor) {
        return node.has(field) ? String.format(Locale.ROOT, "%.4g", node.get(field).asDouble() * factor) : "";
    }

    private void table(String title, List<String> header, List<List<String>> rows) {
        benchmarks.append("\n## ").append(title).append("\n\n| ").append(String.join(" | ", header)).append(" |\n|")
                .append(" --- |".repeat(header.size())).append("\n");
        rows.forEach(row -> benchmarks.append("| ").append(String.join(" | ", row)).append(" |\n"));
    }

    private String markdown(ObjectNode report) {
        StringBuilder text = new StringBuilder("# Checks on a GPU host\n\n" + report.get("date").asText() + ", build "
                + report.get("build").asText() + "\n\nGPU: " + report.get("gpu").asText() + "\n");
        if (standIn) {
            text.append("\n**On the stand-in for a driver: no time below says anything of a GPU.**\n");
        }
        text.append("\n| part | result | seconds | |\n| --- | --- | --- | --- |\n");
        parts.forEach(part -> {
            List<String> details = new ArrayList<>();
            for (String field : new String[] {"reason", "successful", "failed", "aborted", "skipped", "skippedBecause", "failures", "log"}) {
                if (part.has(field) && !part.get(field).isEmpty() || part.path(field).isValueNode()) {
                    details.add(field + ": " + (part.get(field).isTextual() ? part.get(field).asText() : part.get(field).toString()));
                }
            }
            text.append("| ").append(part.get("name").asText()).append(" | ").append(part.get("result").asText()).append(" | ")
                    .append(number(part, "seconds", 1)).append(" | ").append(String.join("; ", details).replace("|", "\\|")).append(" |\n");
        });
        return text + benchmarks.toString() + "\n## info\n\n```\n" + report.get("info").asText() + "```\n";
    }

    private void command(String name, int limit, List<String> command) throws IOException, InterruptedException {
        Ended ended = start(command, name, limit);
        part(name, ended.status == 0 ? "passed" : "failed", ended);
    }

    private ObjectNode part(String name, String result, Ended ended) {
        System.out.println(name + ": " + result);
        return parts.addObject().put("name", name).put("result", result).put("status", ended.status).put("seconds", ended.seconds)
                .put("log", results.relativize(ended.log).toString());
    }

    private void skip(String name, String reason) {
        System.out.println(name + ": skipped: " + reason);
        parts.addObject().put("name", name).put("result", "skipped").put("reason", reason);
    }

    /** This same Java, with this process's properties of Panoptim's. */
    private static List<String> java(List<String> options, String main, String... arguments) {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED"));
        System.getProperties().stringPropertyNames().stream().filter(name -> name.startsWith("panoptim.")).sorted()
                .forEach(name -> command.add("-D" + name + "=" + System.getProperty(name)));
        command.addAll(options);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), main));
        command.addAll(List.of(arguments));
        return command;
    }

    /** Runs a program to its end or for so many seconds. */
    private Ended start(List<String> command, String name, int limit) throws IOException, InterruptedException {
        Path log = results.resolve("logs/" + name + ".log");
        long begin = System.nanoTime();
        System.out.println(name + " ...");
        Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        boolean ended = process.waitFor(limit, TimeUnit.SECONDS);
        if (!ended) {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly().waitFor();
        }
        String output = Files.readString(log) + (ended ? "" : "\nstopped after " + limit + " seconds");
        return new Ended(ended ? process.exitValue() : -1, output, log, (System.nanoTime() - begin) * 1e-9);
    }

    private static @Nullable String find(String name) {
        return Stream.of(Optional.ofNullable(System.getenv("PATH")).orElse("").split(File.pathSeparator))
                .map(folder -> Path.of(folder).resolve(name).toString()).filter(file -> Files.isExecutable(Path.of(file))).findFirst().orElse(null);
    }
}
