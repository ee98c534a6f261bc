package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_rule;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;

/**
 * A compiled rule, loaded for the life of the process.
 *
 * @param file where it was loaded from
 * @param description its {@code panoptim_rule}
 */
public record RuleLibrary(Path file, MemorySegment description) {
    private static final String SYMBOL = "panoptim_user_rule";
    private static final Pattern NAME = Pattern.compile("\\(\\s*(\\w+)\\s*\\)");

    static RuleLibrary load(Path library) {
        Path file = library.toAbsolutePath();
        if (!Files.isRegularFile(file)) {
            throw unavailable(file, "no such file");
        }
        SymbolLookup symbols;
        try {
            symbols = SymbolLookup.libraryLookup(file, Arena.global());
        } catch (IllegalArgumentException refused) {
            throw new PanoptimException(Code.UNAVAILABLE, "Rule.load", file + ": cannot be loaded: is it a shared library for this "
                    + "machine, compiled with -shared -fPIC?", refused);
        }
        MemorySegment description = symbols.find(SYMBOL).orElseThrow(() -> unavailable(file, "it has no " + SYMBOL
                + ": compile kernels/user_rule.cpp with -include and the rule's header"));
        int size = panoptim_rule.size(description.reinterpret(Integer.BYTES * 2L));
        int abi = panoptim_rule.abi(description.reinterpret(Integer.BYTES * 2L));
        if (abi != panoptim_h.PANOPTIM_RULE_ABI() || size != panoptim_rule.sizeof()) {
            throw unavailable(file, "it was compiled with other headers (ABI " + Integer.toUnsignedString(abi) + ", a rule of "
                    + Integer.toUnsignedString(size) + " bytes) than this jar's (ABI " + panoptim_h.PANOPTIM_RULE_ABI() + ", "
                    + panoptim_rule.sizeof() + " bytes): compile it again with those of this version");
        }
        return new RuleLibrary(file, description.reinterpret(size));
    }

    String name() {
        return text(panoptim_rule.name(description));
    }

    List<String> states() {
        return names(panoptim_rule.states(description));
    }

    List<String> optionalStates() {
        return names(panoptim_rule.optional_states(description));
    }

    List<String> scalars() {
        return names(panoptim_rule.scalars(description));
    }

    List<String> flags() {
        return names(panoptim_rule.flags(description));
    }

    /** Reads {@code (first)(second)}. */
    private List<String> names(MemorySegment list) {
        return NAME.matcher(text(list)).results().map(name -> name.group(1)).toList();
    }

    private String text(MemorySegment string) {
        if (string.equals(MemorySegment.NULL)) {
            throw unavailable(file, "its " + SYMBOL + " lacks a name or a list of names");
        }
        return string.getString(0);
    }

    private static PanoptimException unavailable(Path file, String reason) {
        return new PanoptimException(Code.UNAVAILABLE, "Rule.load", file + ": " + reason);
    }
}
