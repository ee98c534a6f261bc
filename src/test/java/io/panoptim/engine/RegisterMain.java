package io.panoptim.engine;

import io.panoptim.PanoptimException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Registers copies of a rule's library in a process of its own, and says how many were taken and why no more. */
final class RegisterMain {
    private RegisterMain() {}

    public static void main(String[] library) throws Exception {
        Path file = Path.of(library[0]);
        int count = 0;
        try {
            for (; count < 1000; count++) {
                Rule rule = Rule.load(Files.copy(file, file.resolveSibling("copy" + count + ".so")));
                Engines.named("cpu").table(rule, List.of()).close();
            }
        } catch (PanoptimException refusal) {
            System.out.println(count + " " + refusal.code() + " " + refusal.getMessage());
        }
    }
}
