package io.panoptim.tools;

import java.io.PrintWriter;
import java.io.StringWriter;
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

    /** Puts in all names for OPTIMIZERS and SCHEDULERS, so that a new one changes no test. */
    public static String withNames(String text) {
        return text.replace("OPTIMIZERS", String.join(", ", new OptimizerKind.Names()))
                .replace("SCHEDULERS", String.join(", ", new SchedulerKind.Names()));
    }
}
