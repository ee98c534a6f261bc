package io.panoptim.tools.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BiFunction;

/**
 * A contender in a process of its own, since most libraries bring natives that do not go with others'. Its first line says what to do,
 * in JSON, and is answered by a description; for each further one, {@code steps COUNT} or {@code checksum}, it answers seconds or a sum.
 */
public final class PeerProcess implements Contender {
    private static final String CALL = "bench";
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Process process;
    private final BufferedReader out;
    private final Writer in;
    private final String description;

    /**
     * Starts one.
     *
     * @param variant which of several implementations that it has
     */
    PeerProcess(List<String> command, Workload workload, Setting setting, String variant) {
        try {
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            out = process.inputReader();
            in = process.outputWriter();
            description = ask(JSON.writeValueAsString(Map.of("variant", variant, "rule", workload.rule().title(), "threads", setting.threads(),
                    "extent", workload.extent(), "lr", Workload.LR, "max_norm", Workload.MAX_NORM, "decay", Workload.DECAY, "scale", Workload.SCALE,
                    "shapes", workload.shapes())));
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    @Override
    public String description() {
        return description;
    }

    @Override
    public double steps(int count) {
        return Double.parseDouble(ask("steps " + count));
    }

    @Override
    public double checksum() {
        return Double.parseDouble(ask("checksum"));
    }

    private String ask(String request) {
        try {
            in.write(request + "\n");
            in.flush();
            String line = out.readLine();
            if (line != null) {
                return line;
            }
        } catch (IOException broken) {
            throw new PanoptimException(Code.FAULT, CALL, "a peer's process has ended: its error is above", broken);
        }
        throw new PanoptimException(Code.FAULT, CALL, "a peer's process has ended: its error is above");
    }

    @Override
    public void close() {
        process.destroy();
    }

    /**
     * The other side, for peers in Java: answers until its input ends.
     *
     * @param open makes the contender that answers
     */
    public static void serve(BiFunction<Workload, Setting, Contender> open) throws IOException {
        PrintStream answers = System.out;
        System.setOut(System.err); // libraries talk
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        JsonNode given = JSON.readTree(requests.readLine());
        List<long[]> shapes = new ArrayList<>();
        given.get("shapes").forEach(shape -> shapes.add(JSON.convertValue(shape, long[].class)));
        Workload.Rule rule = Workload.Rule.valueOf(given.get("rule").asText().toUpperCase(Locale.ROOT));
        Workload workload = new Workload("given", "given", rule, shapes, Workload.Extent.valueOf(given.get("extent").asText()));
        try (Contender contender = open.apply(workload, new Setting(given.get("threads").asInt(), ""))) {
            answers.println(contender.description());
            for (String request = requests.readLine(); request != null; request = requests.readLine()) {
                answers.println(request.startsWith("steps ") ? contender.steps(Integer.parseInt(request.substring(6))) : contender.checksum());
            }
        }
    }
}
