package io.panoptim.kernels;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The kernels of a PTX file: the lines of each. */
record Ptx(Map<String, List<String>> kernels) {
    private static final Pattern ENTRY = Pattern.compile("\\.visible \\.entry (\\w+)\\(");
    private static final Pattern OPCODE = Pattern.compile("(?:@!?%p\\d+ )?([a-z][a-z0-9_.]*)\\b.*");
    private static final Pattern FLOATING_POINT = Pattern.compile(".*\\.b?f(16|32|64).*");

    /** How a value that follows from sums reaches an update: loaded and rounded once. */
    private static final Pattern REDUCED = Pattern.compile("\\.reg \\.f64.*|ld\\.global(\\.nc)?\\.f64.*|cvt\\.rn\\.f32\\.f64.*");

    private static final Set<String> ROUNDED = Set.of("add", "sub", "mul", "div", "fma", "sqrt", "rcp");
    private static final Set<String> INEXACT = Set.of("mad", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh");
    private static final Set<String> INEXACT_MODIFIERS = Set.of("ftz", "approx", "full", "rz", "rm", "rp");

    static Ptx parse(String text) {
        Map<String, List<String>> kernels = new LinkedHashMap<>();
        List<String> current = new ArrayList<>();
        for (String line : text.lines().toList()) {
            Matcher entry = ENTRY.matcher(line);
            if (entry.matches()) {
                kernels.put(entry.group(1), current = new ArrayList<>());
            }
            current.add(line.strip().replaceAll("\\s+", " "));
        }
        return new Ptx(kernels);
    }

    /**
     * The lines of a kernel that break the contract of equal bits.
     *
     * @param sums whether its rule takes sums, which are float64 for every type
     */
    static List<String> faults(String kernel, boolean sums, List<String> lines) {
        boolean single = kernel.contains("_step_") && kernel.contains("float32");
        return lines.stream().filter(line -> single && line.contains(".f64") && !(sums && REDUCED.matcher(line).matches())
                || inexact(line)).toList();
    }

    private static boolean inexact(String line) {
        Matcher matcher = OPCODE.matcher(line);
        if (!matcher.matches() || !FLOATING_POINT.matcher(matcher.group(1)).matches()) {
            return false;
        }
        List<String> parts = List.of(matcher.group(1).split("\\."));
        return INEXACT.contains(parts.getFirst()) || parts.stream().anyMatch(INEXACT_MODIFIERS::contains)
                || ROUNDED.contains(parts.getFirst()) && !parts.contains("rn");
    }
}
