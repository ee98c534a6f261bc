package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleLibrary;
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_get_api_function;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_supported_function;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** One tier's shared object, loaded for the life of the process. Several can be loaded side by side. */
final class CpuLibrary {
    private static final Map<Isa, CpuLibrary> LOADED = new EnumMap<>(Isa.class);

    private final Isa isa;
    private final Path file;
    private final MemorySegment api;

    private CpuLibrary(Isa isa, Path file, MemorySegment api) {
        this.isa = isa;
        this.file = file;
        this.api = api;
    }

    /** The best tier that the processor has among those allowed, or why there is none. */
    static CpuLibrary best(List<Isa> allowed) {
        List<String> reasons = new ArrayList<>();
        if (allowed.isEmpty()) {
            reasons.add("no native library exists for " + LibraryLocator.platform()
                    + (System.getenv(Isa.MAX_ISA_VARIABLE) == null ? "" : " within " + Isa.MAX_ISA_VARIABLE));
        }
        for (Isa isa : allowed) {
            Optional<CpuLibrary> library = load(isa, reasons);
            if (library.isPresent()) {
                return library.get();
            }
        }
        throw new PanoptimException(Code.UNAVAILABLE, "CPU engine", String.join("; ", reasons));
    }

    /** Loads one tier, or says why it cannot be. */
    static synchronized Optional<CpuLibrary> load(Isa isa, List<String> reasons) {
        CpuLibrary loaded = LOADED.get(isa);
        if (loaded != null) {
            return Optional.of(loaded);
        }
        Optional<Path> file = LibraryLocator.find("libpanoptim-" + isa.id() + ".so", reasons);
        if (file.isEmpty()) {
            return Optional.empty();
        }
        try {
            CpuLibrary library = new CpuLibrary(isa, file.get(), open(file.get()));
            LOADED.put(isa, library);
            return Optional.of(library);
        } catch (PanoptimException | IllegalArgumentException refused) {
            reasons.add(file.get() + ": " + refused.getMessage());
            return Optional.empty();
        }
    }

    Isa isa() {
        return isa;
    }

    Path file() {
        return file;
    }

    /** The library's {@code panoptim_api}. */
    MemorySegment api() {
        return api;
    }

    String compiler() {
        return panoptim_api.compiler(api).getString(0);
    }

    /** The number by which this library knows a rule; a user's own it first gets to know, or refuses. */
    int number(Rule rule) {
        if (rule.id() >= 0) {
            return rule.id();
        }
        RuleLibrary compiled = rule.library();
        if (compiled == null) {
            throw PanoptimException.unsupported("Table", "the cpu engine cannot run the rule " + rule + ", which is defined in Java "
                    + "only: use the reference engine (Engines.named(\"reference\")), or compile it too (Rule.withLibrary)");
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment number = arena.allocate(ValueLayout.JAVA_INT);
            check(compiled.file().toString(), panoptim_api.register_rule.invoke(panoptim_api.register_rule(api),
                    compiled.description(), number));
            return number.get(ValueLayout.JAVA_INT, 0);
        }
    }

    /** Throws what a native call reported, if it did. */
    void check(String call, int result) {
        if (result == panoptim_h.PANOPTIM_OK()) {
            return;
        }
        Code code = result == panoptim_h.PANOPTIM_UNSUPPORTED() ? Code.UNSUPPORTED
                : result == panoptim_h.PANOPTIM_EXHAUSTED() ? Code.EXHAUSTED : Code.INVALID;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocate(1024);
            panoptim_api.last_error.invoke(panoptim_api.last_error(api), text, (int) text.byteSize());
            throw new PanoptimException(code, call, text.getString(0));
        }
    }

    private static MemorySegment open(Path file) {
        SymbolLookup symbols = SymbolLookup.libraryLookup(file, Arena.global());
        int supported = panoptim_supported_function.invoke(symbol(symbols, "panoptim_supported"));
        if (supported != 1) {
            throw new PanoptimException(Code.UNAVAILABLE, "processor", supported == 0
                    ? "it lacks this tier's instructions" : "it has this tier's instructions, but the operating system has not "
                    + "enabled them");
        }
        MemorySegment api = panoptim_get_api_function.invoke(symbol(symbols, "panoptim_get_api"), panoptim_h.PANOPTIM_ABI());
        if (api.equals(MemorySegment.NULL)) {
            throw new PanoptimException(Code.UNAVAILABLE, "version", "its ABI is not " + panoptim_h.PANOPTIM_ABI()
                    + ", which this jar needs: use the library built together with it");
        }
        api = api.reinterpret(panoptim_api.sizeof());
        if (panoptim_api.size(api) != panoptim_api.sizeof()) {
            throw new PanoptimException(Code.UNAVAILABLE, "version", "its panoptim_api has " + panoptim_api.size(api)
                    + " bytes, this jar's " + panoptim_api.sizeof() + ": use the library built together with it");
        }
        String rules = panoptim_api.rules_hash(api).getString(0);
        if (!rules.equals(Rule.HASH)) {
            throw new PanoptimException(Code.UNAVAILABLE, "version", "it was built from other rules (" + rules
                    + ") than this jar (" + Rule.HASH + "): use the library built together with it");
        }
        return api;
    }

    private static MemorySegment symbol(SymbolLookup symbols, String name) {
        return symbols.find(name).orElseThrow(() -> new PanoptimException(Code.UNAVAILABLE, "symbols", "it has no " + name));
    }
}
