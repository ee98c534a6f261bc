package io.panoptim.tools;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.stream.Stream;
import picocli.CommandLine;

/**
 * What the command-line tool has said in this process.
 *
 * @param status its exit code
 * @param out standard output
 * @param err standard error
 */
public record Tool(int status, String out, String err) {
    public static Tool run(String... arguments) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        CommandLine command = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        return new Tool(command.execute(arguments), out.toString(), err.toString());
    }

    /** Trains an experiment, and leaves the results in a folder. */
    public static Tool train(String experiment, Path output, String... options) {
        System.setProperty("java.awt.headless", "true");
        return run(Stream.concat(Stream.of("train", experiment, "--output", output.toString()), Stream.of(options))
                .toArray(String[]::new));
    }

    /** Puts in all names for OPTIMIZERS and SCHEDULERS, so that a new one changes no test. */
    public static String withNames(String text) {
        return text.replace("OPTIMIZERS", String.join(", ", new OptimizerKind.Names()))
                .replace("SCHEDULERS", String.join(", ", new SchedulerKind.Names()));
    }
}
