package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Instruction-set tiers: one shared object each, the better ones later. */
public enum Isa {
    AARCH64("aarch64", "aarch64"),
    X86_64_V3("x86-64-v3", "amd64"),
    X86_64_V4("x86-64-v4", "amd64");

    /** Caps the tier, by its name. */
    public static final String MAX_ISA_VARIABLE = "PANOPTIM_MAX_ISA";

    private final String id;
    private final String architecture;

    Isa(String id, String architecture) {
        this.id = id;
        this.architecture = architecture;
    }

    /** The name in file names and messages. */
    public String id() {
        return id;
    }

    /** The tiers of this machine's architecture, the best first, whether its processor has them or not. */
    public static List<Isa> ofArchitecture() {
        return Arrays.stream(values()).filter(isa -> isa.architecture.equals(System.getProperty("os.arch")))
                .sorted(Comparator.reverseOrder()).toList();
    }

    /** The tiers of this machine's architecture that {@value #MAX_ISA_VARIABLE} allows, the best first. */
    static List<Isa> allowed(@Nullable String cap) {
        if (cap == null || cap.isBlank()) {
            return ofArchitecture();
        }
        List<Isa> tiers = ofArchitecture();
        int best = tiers.stream().map(Isa::id).toList().indexOf(cap);
        if (best < 0) {
            throw PanoptimException.invalid(MAX_ISA_VARIABLE, "unknown tier '" + cap + "': this machine's architecture has "
                    + tiers.stream().map(Isa::id).toList());
        }
        return tiers.subList(best, tiers.size());
    }
}
