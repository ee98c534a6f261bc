package io.panoptim.tools;

import io.panoptim.PanoptimException;
import io.panoptim.tools.bench.BenchCommand;
import io.panoptim.tools.replay.ReplayCommand;
import io.panoptim.tools.schedule.ScheduleCommand;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The command-line tool, {@code panoptim}. What goes wrong is one line on standard error, and exit code 2. */
@Command(name = "panoptim", scope = ScopeType.INHERIT, mixinStandardHelpOptions = true, versionProvider = Main.Version.class,
        usageHelpAutoWidth = true, synopsisSubcommandLabel = "COMMAND", commandListHeading = "%nCommands:%n",
        optionListHeading = "%nOptions:%n", descriptionHeading = "%n",
        description = "Neural-network optimizers as fast as memory allows, with PyTorch's bits.")
public final class Main implements Callable<Integer> {
    static final int FAILED = 2;

    @Spec
    private CommandSpec spec;

    @Option(names = "--debug", scope = ScopeType.INHERIT, description = "Show the stack trace of an error.")
    private boolean debug;

    /** Runs the tool and ends the process. */
    public static void main(String[] arguments) {
        System.setProperty("java.awt.headless", "true");
        if (System.getProperty("java.util.logging.SimpleFormatter.format") == null) {
            System.setProperty("java.util.logging.SimpleFormatter.format", "panoptim: %5$s%6$s%n");
        }
        System.exit(commandLine().execute(arguments));
    }

    /** The tool, for {@link CommandLine#execute}. */
    static CommandLine commandLine() {
        Main main = new Main();
        return new CommandLine(main)
                .addSubcommand(new InfoCommand())
                .addSubcommand(new TrainCommand())
                .addSubcommand(new ReplayCommand())
                .addSubcommand(new ScheduleCommand())
                .addSubcommand(new BenchCommand())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler(main::misused)
                .setExecutionStrategy(main::run)
                .setExecutionExceptionHandler((failure, command, parsed) -> main.failed(command, failure, message(failure)));
    }

    @Override
    public Integer call() {
        spec.commandLine().usage(spec.commandLine().getErr());
        return FAILED;
    }

    /** Picocli handles exceptions, but no errors, as when memory runs out. */
    private int run(ParseResult parsed) {
        try {
            return new RunLast().execute(parsed);
        } catch (Error failure) {
            return failed(spec.commandLine(), failure, failure.toString());
        }
    }

    private int misused(ParameterException misuse, String[] arguments) {
        CommandLine command = misuse.getCommandLine();
        return failed(command, misuse, misuse.getMessage() + " (see " + command.getCommandSpec().qualifiedName() + " --help)");
    }

    private int failed(CommandLine command, Throwable failure, String message) {
        PrintWriter err = command.getErr();
        err.println("panoptim: " + message.lines().collect(Collectors.joining("; ")));
        if (debug) {
            failure.printStackTrace(err);
        }
        err.flush();
        return FAILED;
    }

    private static String message(Exception failure) {
        return failure instanceof PanoptimException ? String.valueOf(failure.getMessage()) : failure.toString();
    }

    /** The version that Maven wrote into the build. */
    static final class Version implements IVersionProvider {
        @Override
        public String[] getVersion() throws IOException {
            Properties build = new Properties();
            try (InputStream in = Main.class.getResourceAsStream("build.properties")) {
                build.load(Objects.requireNonNull(in));
            }
            return new String[] {"panoptim " + build.getProperty("version")};
        }
    }
}
