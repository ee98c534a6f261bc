package io.panoptim.engine.cpu;

import io.panoptim.Command;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The instructions of a shared object, by function. */
record Disassembly(Map<String, List<Instruction>> functions) {
    private static final Pattern FUNCTION = Pattern.compile("[0-9a-f]+ <(.+)>:");
    private static final Pattern INSTRUCTION = Pattern.compile(" *[0-9a-f]+:\t([0-9a-f ]+)\t(.+)");

    /** Prefixes that may stand before the byte that tells the encoding: segments, operand and address size. */
    private static final String PREFIXES = "((26|2e|36|3e|64|65|66|67) )*";
    private static final Pattern EVEX = Pattern.compile(PREFIXES + "62 .*");
    private static final Pattern VEX = Pattern.compile(PREFIXES + "(c4|c5) .*");
    private static final Pattern MASK_REGISTER = Pattern.compile("%k[0-7]");

    /**
     * One instruction.
     *
     * @param bytes in hexadecimal, separated and ended by spaces
     * @param text the mnemonic and, after one space, the operands
     */
    record Instruction(String bytes, String text) {
        /** Whether an x86 processor needs AVX-512 for it: by its encoding, or since it works on masks. */
        boolean needsAvx512() {
            return EVEX.matcher(bytes).matches() || MASK_REGISTER.matcher(text).find();
        }

        /** Whether an x86 processor needs AVX, or anything else that came with its encoding. */
        boolean needsAvx() {
            return needsAvx512() || VEX.matcher(bytes).matches();
        }
    }

    /** Disassembles with the binary utilities of the tier's architecture; the test is skipped where they are missing. */
    static Disassembly of(Path library, Isa isa) throws IOException, InterruptedException {
        String objdump = Isa.ofArchitecture().contains(isa) ? "objdump" : BuiltLibrary.architecture(isa) + "-linux-gnu-objdump";
        Command command = Command.run(Command.required(objdump), "-d", "-w", library.toString());
        if (command.status() != 0) {
            throw new IOException(command.output());
        }
        return parse(command.output());
    }

    /** Reads what {@code objdump -d -w} writes. */
    static Disassembly parse(String listing) {
        Map<String, List<Instruction>> functions = new LinkedHashMap<>();
        List<Instruction> current = new ArrayList<>();
        for (String line : listing.lines().toList()) {
            Matcher function = FUNCTION.matcher(line);
            Matcher instruction = INSTRUCTION.matcher(line);
            if (function.matches()) {
                current = functions.computeIfAbsent(function.group(1), name -> new ArrayList<>());
            } else if (instruction.matches()) {
                current.add(new Instruction(instruction.group(1).strip() + " ", instruction.group(2).strip().replaceAll("\\s+", " ")));
            }
        }
        return new Disassembly(functions);
    }
}
