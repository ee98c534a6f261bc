import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Writes what follows from {@code rules.txt}: the C++ header, the Java constants, and the README's table.
 * The build runs it as {@code java kernels/GenerateRules.java kernels/rules.txt target README.md}.
 */
public final class GenerateRules {
    private static final int MAX_SCALARS = 16;
    private static final int MAX_FLAGS = 32;
    private static final int MAX_STATES = 6;
    private static final int MAX_REDUCED = 8;
    private static final Pattern KIND = Pattern.compile(
            "elementwise|matrix|(?<over>tensor|row|global)(?: if (?<flag>\\w+))?: (?<reads>[^>]+) -> (?<sums>[^>]+) -> (?<reduced>[^>]+)");

    private GenerateRules() {}

    /** A state of which there is one value for a tensor, for each of its rows, or for all tensors. */
    record SharedState(String key, String over) {}

    /**
     * Sums that are taken before the update.
     *
     * @param over what they are taken over: {@code tensor}, {@code row} or {@code global}
     * @param flag the flag without which there is none, or empty
     * @param reads the columns that it reads
     * @param sums their names
     * @param reduced the names of the values that follow from them, further scalars of the update
     */
    record Reduction(String over, String flag, List<String> reads, List<String> sums, List<String> reduced) {}

    /** @param codes for each state {@code s}, {@code u} or empty: whether it can be quantised, in signed or unsigned codes */
    record Rule(int id, String name, List<String> optimizers, List<String> states, List<String> codes, int minSlots,
                List<SharedState> sharedStates,
                List<String> scalars, List<String> flags, String kind, Reduction reduction, String exactness, String source) {

        static Rule parse(int id, String line) {
            String[] column = Arrays.stream(line.split("\\|", -1)).map(String::strip).toArray(String[]::new);
            check(column.length == 8, line, "8 columns expected, found " + column.length);
            List<String> marked = words(column[2]).stream().takeWhile(state -> !state.contains("/")).toList();
            List<String> shared = words(column[2]).subList(marked.size(), words(column[2]).size());
            check(shared.stream().allMatch(state -> state.contains("/")), line, "states that elements share come last");
            int required = (int) marked.stream().takeWhile(state -> !state.endsWith("?")).count();
            check(marked.stream().skip(required).allMatch(state -> state.endsWith("?")), line, "optional states come last");
            List<String> states = marked.stream().map(state -> state.replaceAll("(:[su])?[?]?$", "")).toList();
            List<String> codes = marked.stream().map(state -> state.replace("?", "").replaceAll("^\\w+:?", "")).toList();
            Matcher kind = KIND.matcher(column[5]);
            check(kind.matches(), line, "kind is elementwise, matrix, or tensor, row or global with its reduction");
            Reduction reduction = kind.group("over") == null ? null : new Reduction(kind.group("over"),
                    kind.group("flag") == null ? "" : kind.group("flag"), words(kind.group("reads").strip()),
                    words(kind.group("sums").strip()), words(kind.group("reduced").strip()));
            Rule rule = new Rule(id, column[0], Arrays.asList(column[1].split(",\\s*")), states, codes, required,
                    shared.stream().map(state -> new SharedState(state.split("/")[0], state.split("/")[1])).toList(),
                    words(column[3]), words(column[4]), column[5].split("[ :]")[0], reduction, column[6], column[7]);
            check(rule.name.matches("[a-z][a-z0-9_]*"), line, "a rule's name is lower case");
            check(states.stream().allMatch(state -> state.matches("\\w+")), line, "a state is a word, then :s or :u, then ?");
            check(states.size() + Math.min(1, shared.size()) <= MAX_STATES, line, "more than " + MAX_STATES + " states, of which all "
                    + "that elements share count as one");
            check(rule.scalars.size() <= MAX_SCALARS, line, "more than " + MAX_SCALARS + " scalars");
            check(rule.flags.size() <= MAX_FLAGS, line, "more than " + MAX_FLAGS + " flags");
            check(reduction == null || reduction.reduced.size() <= MAX_REDUCED, line, "more than " + MAX_REDUCED + " reduced values");
            for (SharedState state : rule.sharedStates) {
                check(reduction != null && reduction.over.equals(state.over), line, "a shared state is over what the rule reduces");
            }
            if (reduction != null) {
                check(reduction.flag.isEmpty() || rule.flags.contains(reduction.flag), line, "there is no flag " + reduction.flag);
                List<String> columns = rule.columns();
                check(columns.containsAll(reduction.reads), line, "what a reduction reads is one of " + columns);
            }
            return rule;
        }

        String type() {
            return Arrays.stream(name.split("_")).map(w -> w.substring(0, 1).toUpperCase(Locale.ROOT) + w.substring(1))
                    .collect(Collectors.joining());
        }

        /** The columns of elements, in the order of {@code table.h}. */
        List<String> columns() {
            return Stream.concat(Stream.of("value", "gradient"), states.stream()).toList();
        }

        /** Float32 bytes moved per parameter: value and states read and written, the gradient read, after a reduction's reads. */
        String bytes() {
            String update = IntStream.rangeClosed(minSlots, states.size()).mapToObj(slots -> "" + (12 + 8 * slots))
                    .collect(Collectors.joining(" or "));
            if (reduction == null) {
                return update;
            }
            String first = 4 * reduction.reads.size() + " + ";
            return reduction.flag.isEmpty() ? first + update : update + "; " + first + "as much if " + reduction.flag;
        }

        /** The states that can be quantised, by bit. */
        int quantizableStates() {
            return IntStream.range(0, codes.size()).filter(state -> !codes.get(state).isEmpty()).map(state -> 1 << state).sum();
        }

        /** What separates a flag's bit from the others; no bit for a reduction without a condition. */
        int reductionFlag() {
            return reduction.flag.isEmpty() ? 0 : 1 << flags.indexOf(reduction.flag);
        }

        int readColumns() {
            return reduction.reads.stream().mapToInt(column -> 1 << columns().indexOf(column)).sum();
        }
    }

    public static void main(String[] args) throws Exception {
        Path list = Path.of(args[0]);
        Path target = Path.of(args[1]);
        String text = Files.readString(list);
        List<Rule> rules = new ArrayList<>();
        for (String line : text.lines().filter(l -> !l.isBlank() && !l.startsWith("#")).toList()) {
            rules.add(Rule.parse(rules.size(), line));
        }
        String hash = HexFormat.of().formatHex(
                MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
        Path folder = target.resolve("generated-sources/rules/io/panoptim/engine");
        Map<Path, String> sources = new HashMap<>();
        sources.put(folder.resolve("BuiltInRules.java"), javaConstants(rules, hash));
        sources.put(folder.resolve("reference/BuiltInLoops.java"), javaLoops(rules));
        rules.forEach(rule -> sources.put(folder.resolve(rule.type() + "Row.java"), javaRow(rule)));
        for (Path file : sources.keySet()) {
            write(file, sources.get(file));
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path stale : files.filter(file -> Files.isRegularFile(file) && !sources.containsKey(file)).toList()) {
                Files.delete(stale);
            }
        }
        write(target.resolve("generated-include/panoptim_rules.h"), header(rules, hash));
        Path readme = Path.of(args[2]);
        if (Files.exists(readme)) {
            write(readme, withTable(Files.readString(readme), rules));
        }
    }

    private static String header(List<Rule> rules, String hash) {
        StringBuilder out = new StringBuilder("""
                // Written by kernels/GenerateRules.java from kernels/rules.txt.
                #pragma once
                #include "arithmetic.h"
                #include "power.h"
                #include "row.h"

                #define PANOPTIM_RULES_HASH "%s"

                namespace panoptim {
                """.formatted(hash));
        rules.forEach(rule -> out.append(scalars(rule)).append(rule.reduction == null ? "" : sums(rule)));
        out.append("\n}  // namespace panoptim\n\n");
        rules.forEach(rule -> out.append("#include \"rule/").append(rule.name).append(".h\"\n"));
        out.append("\n// X(id, name, type, slots) for each rule and number of state slots.\n#define PANOPTIM_EACH_KERNEL(X)");
        for (Rule rule : rules) {
            for (int slots = rule.minSlots; slots <= rule.states.size(); slots++) {
                out.append(" \\\n    X(%d, %s, %s, %d)".formatted(rule.id, rule.name, rule.type(), slots));
            }
        }
        out.append("\n\n// X(id, name, type, slots, over, flag, reads, shared states) for each of them that reduces.\n")
                .append("#define PANOPTIM_EACH_REDUCTION(X)");
        for (Rule rule : rules.stream().filter(rule -> rule.reduction != null).toList()) {
            for (int slots = rule.minSlots; slots <= rule.states.size(); slots++) {
                out.append(" \\\n    X(%d, %s, %s, %d, PANOPTIM_%s, %du, %du, %d)".formatted(rule.id, rule.name, rule.type(), slots,
                        upper(rule.reduction.over), rule.reductionFlag(), rule.readColumns(), rule.sharedStates.size()));
            }
        }
        out.append("\n\n// X(id, name, type, slots, flag) for each of them that does so only for rows with a flag.\n")
                .append("#define PANOPTIM_EACH_CONDITION(X)");
        for (Rule rule : rules.stream().filter(rule -> rule.reduction != null && rule.reductionFlag() != 0).toList()) {
            for (int slots = rule.minSlots; slots <= rule.states.size(); slots++) {
                out.append(" \\\n    X(%d, %s, %s, %d, %du)".formatted(rule.id, rule.name, rule.type(), slots, rule.reductionFlag()));
            }
        }
        out.append("\n\n// X(name, type, flag, shared states) for each rule that reduces.\n#define PANOPTIM_EACH_FINISH(X)");
        rules.stream().filter(rule -> rule.reduction != null).forEach(rule -> out.append(" \\\n    X(%s, %s, %du, %d)"
                .formatted(rule.name, rule.type(), rule.reductionFlag(), rule.sharedStates.size())));
        return out.append("\n\n#define PANOPTIM_RULE_COUNT ").append(rules.size()).append("\n").toString();
    }

    /** What an update reads besides its element: the row's scalars, the reduced values, the row's flags. */
    private static String scalars(Rule rule) {
        String type = rule.type() + "Scalars";
        List<String> reduced = rule.reduction == null ? List.of() : rule.reduction.reduced;
        StringBuilder out = new StringBuilder("\ntemplate <class T>\nstruct ").append(type).append(" {\n    T ")
                .append(String.join(", ", Stream.concat(rule.scalars.stream(), reduced.stream()).toList())).append(";\n");
        if (!rule.flags.isEmpty()) {
            out.append("    int ").append(String.join(", ", rule.flags)).append(";\n");
        }
        List<String> initializers = new ArrayList<>();
        for (int i = 0; i < rule.scalars.size(); i++) {
            initializers.add(rule.scalars.get(i) + "(row.scalar[" + i + "])");
        }
        for (int i = 0; i < reduced.size(); i++) {
            String condition = rule.reductionFlag() == 0 ? "" : "(row.flags & " + rule.reductionFlag() + "u) == 0 ? T(0) : ";
            initializers.add(reduced.get(i) + "(" + condition + "T(reduced[" + i + "]))");
        }
        for (int i = 0; i < rule.flags.size(); i++) {
            initializers.add(rule.flags.get(i) + "(row.flags >> " + i + " & 1)");
        }
        out.append("    static constexpr int OVER = ").append(rule.reduction == null ? "0" : "PANOPTIM_" + upper(rule.reduction.over))
                .append(", REDUCED = ").append(reduced.size()).append(", QUANTIZABLE = ").append(rule.quantizableStates()).append(";\n");
        return out.append("    PANOPTIM_INLINE ").append(type).append("(const Row<T>& row, const double* ")
                .append(reduced.isEmpty() ? "" : "reduced").append(")\n        : ")
                .append(String.join(",\n          ", initializers)).append(" {}\n};\n").toString();
    }

    private static String sums(Rule rule) {
        List<String> sums = rule.reduction.sums;
        String add = IntStream.range(0, sums.size()).mapToObj(i -> "lane[" + i + " * DISTANCE] += sums." + sums.get(i) + ";")
                .collect(Collectors.joining(" "));
        return """

                struct %1$sSums {
                    double %2$s;
                    static constexpr int COUNT = %3$d;
                    template <int DISTANCE>
                    static PANOPTIM_INLINE void add(%1$sSums sums, double* lane) { %4$s }
                };
                struct %1$sReduced {
                    double %5$s;
                    static constexpr int COUNT = %6$d;
                };
                """.formatted(rule.type(), String.join(", ", sums), sums.size(), add, String.join(", ", rule.reduction.reduced),
                rule.reduction.reduced.size());
    }

    private static String javaConstants(List<Rule> rules, String hash) {
        String constants = rules.stream().map(rule -> """
                    /** %s: {@code %s}. */
                    Rule %s = new Rule(%d, "%s", %s, %s, %d, %s, %s, %s, %s, "%s");
                """.formatted(String.join(", ", rule.optimizers), rule.source, upper(rule.name), rule.id, rule.name,
                strings(rule.states), strings(rule.codes), rule.minSlots, strings(rule.sharedStates.stream().map(SharedState::key).toList()),
                strings(rule.scalars), strings(rule.flags), javaSums(rule), rule.exactness)).collect(Collectors.joining("\n"));
        return """
                // Written by kernels/GenerateRules.java from kernels/rules.txt.
                package io.panoptim.engine;

                import java.util.List;

                /** What {@link Rule} inherits: the rules that every engine has. */
                interface BuiltInRules {
                %s
                    /** SHA-256 of the list of rules: every native binary carries it too. */
                    String HASH = "%s";

                    /** In the order of their identifiers. */
                    List<Rule> ALL = List.of(%s);
                }
                """.formatted(constants, hash, rules.stream().map(rule -> upper(rule.name)).collect(Collectors.joining(", ")));
    }

    private static String javaLoops(List<Rule> rules) {
        return """
                // Written by kernels/GenerateRules.java from kernels/rules.txt.
                package io.panoptim.engine.reference;

                import java.util.List;

                /** The loops of the rules that every engine has: one class for each, named after its rule. */
                final class BuiltInLoops {
                    /** By the rules' identifiers. */
                    static final List<UpdateLoop> ALL = List.of(%s);

                    private BuiltInLoops() {}
                }
                """.formatted(rules.stream().map(rule -> "new " + rule.type() + "Loop()").collect(Collectors.joining(", ")));
    }

    private static String javaSums(Rule rule) {
        Reduction reduction = rule.reduction;
        return reduction == null ? "null" : "new RuleSums(RuleSums.Over.%s, %d, %d, %s, %s)".formatted(upper(reduction.over),
                rule.reductionFlag(), rule.readColumns(), strings(reduction.sums), strings(reduction.reduced));
    }

    private static String javaRow(Rule rule) {
        StringBuilder out = new StringBuilder("""
                // Written by kernels/GenerateRules.java from kernels/rules.txt.
                package io.panoptim.engine;

                /** Where the scalars and flags of {@link Rule#%s} lie in a row. */
                public final class %sRow {
                    private %<sRow() {}

                """.formatted(upper(rule.name), rule.type()));
        for (int i = 0; i < rule.scalars.size(); i++) {
            out.append("    public static final int %s = %d;\n".formatted(upper(rule.scalars.get(i)), i));
        }
        if (rule.reduction != null) {
            out.append("\n    // the sums before an update, and the scalars that follow from them\n");
            for (int i = 0; i < rule.reduction.sums.size(); i++) {
                out.append("    public static final int %s = %d;\n".formatted(upper(rule.reduction.sums.get(i)), i));
            }
            for (int i = 0; i < rule.reduction.reduced.size(); i++) {
                out.append("    public static final int %s = %d;\n".formatted(upper(rule.reduction.reduced.get(i)), MAX_SCALARS + i));
            }
        }
        out.append("\n");
        for (int i = 0; i < rule.flags.size(); i++) {
            out.append("    public static final int %s = 1 << %d;\n".formatted(upper(rule.flags.get(i)), i));
        }
        return out.append("}\n").toString();
    }

    private static String withTable(String readme, List<Rule> rules) {
        String begin = "<!-- rules: generated from kernels/rules.txt -->\n";
        String end = "<!-- end of rules -->";
        int from = readme.indexOf(begin);
        int to = readme.indexOf(end);
        if (from < 0 || to < from) {
            throw new IllegalArgumentException("README has no markers for the table of rules");
        }
        StringBuilder table = new StringBuilder("""
                | optimizers | states | bytes per float32 parameter | exactness | source |
                | --- | --- | --- | --- | --- |
                """);
        for (Rule rule : rules) {
            String states = IntStream.range(0, rule.states.size())
                    .mapToObj(i -> "`" + rule.states.get(i) + "`" + (i < rule.minSlots ? "" : " (optional)"))
                    .collect(Collectors.joining(", "));
            table.append("| %s | %s | %s | %s | `%s` |\n".formatted(String.join(", ", rule.optimizers), states, rule.bytes(),
                    rule.exactness, rule.source));
        }
        return readme.substring(0, from) + begin + table + readme.substring(to);
    }

    private static List<String> words(String text) {
        return text.isEmpty() ? List.of() : Arrays.asList(text.split("\\s+"));
    }

    private static String strings(List<String> words) {
        return words.stream().map(word -> '"' + word + '"').collect(Collectors.joining(", ", "List.of(", ")"));
    }

    private static String upper(String name) {
        return name.toUpperCase(Locale.ROOT);
    }

    private static void check(boolean condition, String line, String message) {
        if (!condition) {
            throw new IllegalArgumentException("kernels/rules.txt: " + message + ": " + line);
        }
    }

    /** Leaves an unchanged file alone, so that nothing is rebuilt for it. */
    private static void write(Path file, String text) throws IOException {
        if (Files.exists(file) && Files.readString(file).equals(text)) {
            return;
        }
        Files.createDirectories(file.toAbsolutePath().getParent());
        Files.writeString(file, text);
    }
}
