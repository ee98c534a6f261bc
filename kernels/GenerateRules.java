import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Writes what follows from {@code rules.txt}: the C++ header, the Java enum and row constants, and the README's table.
 * The build runs it as {@code java kernels/GenerateRules.java kernels/rules.txt target README.md}.
 */
public final class GenerateRules {
    private static final int MAX_SCALARS = 16;
    private static final int MAX_FLAGS = 32;
    private static final int MAX_STATES = 6;
    private static final Set<String> KINDS = Set.of("elementwise", "tensor", "global", "matrix");

    private GenerateRules() {}

    record Rule(int id, String name, List<String> optimizers, List<String> states, int minSlots, List<String> scalars,
                List<String> flags, String kind, String exactness, String source) {

        static Rule parse(int id, String line) {
            String[] column = Arrays.stream(line.split("\\|", -1)).map(String::strip).toArray(String[]::new);
            check(column.length == 8, line, "8 columns expected, found " + column.length);
            List<String> marked = words(column[2]);
            int required = (int) marked.stream().takeWhile(state -> !state.endsWith("?")).count();
            check(marked.stream().skip(required).allMatch(state -> state.endsWith("?")), line, "optional states come last");
            List<String> states = marked.stream().map(state -> state.replace("?", "")).toList();
            Rule rule = new Rule(id, column[0], Arrays.asList(column[1].split(",\\s*")), states, required,
                    words(column[3]), words(column[4]), column[5], column[6], column[7]);
            check(rule.name.matches("[a-z][a-z0-9_]*"), line, "a rule's name is lower case");
            check(states.size() <= MAX_STATES, line, "more than " + MAX_STATES + " states");
            check(rule.scalars.size() <= MAX_SCALARS, line, "more than " + MAX_SCALARS + " scalars");
            check(rule.flags.size() <= MAX_FLAGS, line, "more than " + MAX_FLAGS + " flags");
            check(KINDS.contains(rule.kind), line, "kind is one of " + KINDS);
            return rule;
        }

        String type() {
            return Arrays.stream(name.split("_")).map(w -> w.substring(0, 1).toUpperCase(Locale.ROOT) + w.substring(1))
                    .collect(Collectors.joining());
        }

        /** Float32 bytes moved per parameter: value and states read and written, the gradient read. */
        String bytes() {
            return IntStream.rangeClosed(minSlots, states.size()).mapToObj(slots -> "" + (12 + 8 * slots))
                    .collect(Collectors.joining(" or "));
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
        Path java = target.resolve("generated-sources/rules/io/panoptim/engine");
        write(java.resolve("Rule.java"), javaEnum(rules, hash));
        for (Rule rule : rules) {
            write(java.resolve(rule.type() + "Row.java"), javaRow(rule));
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
                #include "row.h"

                #define PANOPTIM_RULES_HASH "%s"

                namespace panoptim {
                """.formatted(hash));
        for (Rule rule : rules) {
            String type = rule.type() + "Scalars";
            out.append("\ntemplate <class T>\nstruct ").append(type).append(" {\n    T ")
                    .append(String.join(", ", rule.scalars)).append(";\n");
            if (!rule.flags.isEmpty()) {
                out.append("    int ").append(String.join(", ", rule.flags)).append(";\n");
            }
            List<String> initializers = new ArrayList<>();
            for (int i = 0; i < rule.scalars.size(); i++) {
                initializers.add(rule.scalars.get(i) + "(row.scalar[" + i + "])");
            }
            for (int i = 0; i < rule.flags.size(); i++) {
                initializers.add(rule.flags.get(i) + "(row.flags >> " + i + " & 1)");
            }
            out.append("    PANOPTIM_INLINE explicit ").append(type).append("(const Row<T>& row)\n        : ")
                    .append(String.join(",\n          ", initializers)).append(" {}\n};\n");
        }
        out.append("\n}  // namespace panoptim\n\n");
        rules.forEach(rule -> out.append("#include \"rule/").append(rule.name).append(".h\"\n"));
        out.append("\n// X(id, name, type, slots) for each rule and number of state slots.\n#define PANOPTIM_EACH_KERNEL(X)");
        for (Rule rule : rules) {
            for (int slots = rule.minSlots; slots <= rule.states.size(); slots++) {
                out.append(" \\\n    X(%d, %s, %s, %d)".formatted(rule.id, rule.name, rule.type(), slots));
            }
        }
        return out.append("\n\n#define PANOPTIM_RULE_COUNT ").append(rules.size()).append("\n").toString();
    }

    private static String javaEnum(List<Rule> rules, String hash) {
        String constants = rules.stream().map(rule -> """
                    /** %s: {@code %s}. */
                    %s(%s, %d, %s, %s, Kind.%s, "%s")""".formatted(String.join(", ", rule.optimizers), rule.source,
                upper(rule.name), strings(rule.states), rule.minSlots, strings(rule.scalars), strings(rule.flags),
                upper(rule.kind), rule.exactness)).collect(Collectors.joining(",\n"));
        return """
                // Written by kernels/GenerateRules.java from kernels/rules.txt.
                package io.panoptim.engine;

                import java.util.List;

                /** The update rules, in the order of their native identifiers. */
                public enum Rule {
                %s;

                    /** SHA-256 of the list of rules: every native binary carries it too. */
                    public static final String HASH = "%s";

                    /** What a rule reads besides the element it updates. */
                    public enum Kind { ELEMENTWISE, TENSOR, GLOBAL, MATRIX }

                    private final List<String> states;
                    private final int minSlots;
                    private final List<String> scalars;
                    private final List<String> flags;
                    private final Kind kind;
                    private final String exactness;

                    Rule(List<String> states, int minSlots, List<String> scalars, List<String> flags, Kind kind, String exactness) {
                        this.states = states;
                        this.minSlots = minSlots;
                        this.scalars = scalars;
                        this.flags = flags;
                        this.kind = kind;
                        this.exactness = exactness;
                    }

                    /** torch's keys of the state slots, in slot order; those from {@link #minSlots()} on are optional. */
                    public List<String> states() {
                        return states;
                    }

                    /** The number of state slots that every use of the rule has. */
                    public int minSlots() {
                        return minSlots;
                    }

                    /** The names of a row's scalars, in row order. */
                    public List<String> scalars() {
                        return scalars;
                    }

                    /** The names of a row's flags, from bit 0 on. */
                    public List<String> flags() {
                        return flags;
                    }

                    public Kind kind() {
                        return kind;
                    }

                    /** {@code bits}, {@code engines} or a bound in ulp, as the list of rules explains. */
                    public String exactness() {
                        return exactness;
                    }
                }
                """.formatted(constants, hash);
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
