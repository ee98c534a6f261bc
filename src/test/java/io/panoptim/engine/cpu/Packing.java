package io.panoptim.engine.cpu;

import io.panoptim.engine.cpu.Disassembly.Instruction;
import io.panoptim.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** Tells whether a loop does its arithmetic on whole vector registers. */
final class Packing {
    /** By their mnemonics: on x86 without the type's suffix; on aarch64 in scalar form, then in vector form. */
    enum Operation {
        FMA("vfn?m(?:add|sub)\\d{3}", "fn?m(?:add|sub)", "fml[as]"),
        MUL("vmul", "fmul", "fmul"),
        SQRT("vsqrt", "fsqrt", "fsqrt"),
        DIV("vdiv", "fdiv", "fdiv"),
        ADD("vadd", "fadd", "fadd"),
        MULTIPLY("vmul", "fmul", "fmul"),
        /** Selects come down to minima and maxima, or to masks. */
        COMPARE("v(?:cmp\\w*|min|max)", "fcmp", "fcm\\w\\w");

        private final String x86;
        private final String armScalar;
        private final String armVector;

        Operation(String x86, String armScalar, String armVector) {
            this.x86 = x86;
            this.armScalar = armScalar;
            this.armVector = armVector;
        }

        Pattern inAnyForm(Isa isa) {
            return Pattern.compile(isa == Isa.AARCH64 ? "(?:" + armScalar + "|" + armVector + ") .*" : x86 + "[ps][sd] .*");
        }

        Pattern packed(Isa isa, DType type) {
            boolean single = type == DType.FLOAT32;
            return Pattern.compile(switch (isa) {
                case AARCH64 -> armVector + " v\\d+\\." + (single ? "4s" : "2d") + ",.*";
                case X86_64_V3 -> x86 + (single ? "ps" : "pd") + " .*%ymm\\d+";
                case X86_64_V4 -> x86 + (single ? "ps" : "pd") + " .*%zmm\\d+.*"; // a mask may follow
            });
        }
    }

    private Packing() {}

    /**
     * What is not packed in a function: every rule has an fma or, like SparseAdam, none but products; an fma, a square root or a
     * division that it has at all, if only for the elements left over, it must have over whole registers too.
     */
    static List<String> faults(Isa isa, DType type, List<Instruction> function) {
        List<String> faults = new ArrayList<>();
        for (Operation operation : List.of(Operation.FMA, Operation.MUL, Operation.SQRT, Operation.DIV)) {
            if (operation == Operation.MUL ? !contains(function, Operation.FMA.inAnyForm(isa))
                    : contains(function, operation.inAnyForm(isa))) {
                check(operation, isa, type, function, faults);
            }
        }
        return faults;
    }

    /** The same of a function that adds up a rule's sums: these are float64, what they are made of may need no fma. */
    static List<String> faultsOfSums(Isa isa, DType type, List<Instruction> function) {
        List<String> faults = new ArrayList<>();
        check(Operation.ADD, isa, DType.FLOAT64, function, faults);
        for (Operation operation : List.of(Operation.FMA, Operation.SQRT, Operation.DIV)) {
            if (contains(function, operation.inAnyForm(isa))) {
                check(operation, isa, type, function, faults);
            }
        }
        return faults;
    }

    /** The same of a function that works on the bits of numbers: some operation on integers must be packed. */
    static List<String> faultsOfBits(Isa isa, List<Instruction> function) {
        Pattern packed = Pattern.compile(switch (isa) {
            case AARCH64 -> "(?:mul|u?shr|shl|add|umax|smax) v\\d+\\.(?:4s|8h|16b),.*";
            case X86_64_V3 -> "vp(?:mulld|s[lr]l[dw]|addd|max[su]d) .*%ymm\\d+";
            case X86_64_V4 -> "vp(?:mulld|s[lr]l[dw]|addd|max[su]d) .*%zmm\\d+.*";
        });
        return contains(function, packed) ? List.of() : List.of("no packed operation on integers over a whole register");
    }

    /** The same of a function that consists of one operation. */
    static List<String> faultsOf(Operation operation, Isa isa, DType type, List<Instruction> function) {
        List<String> faults = new ArrayList<>();
        check(operation, isa, type, function, faults);
        return faults;
    }

    private static void check(Operation operation, Isa isa, DType type, List<Instruction> function, List<String> faults) {
        if (!contains(function, operation.packed(isa, type))) {
            faults.add("no packed " + operation + " of " + type + " over a whole register");
        }
    }

    private static boolean contains(List<Instruction> function, Pattern pattern) {
        return function.stream().anyMatch(instruction -> pattern.matcher(instruction.text()).matches());
    }
}
