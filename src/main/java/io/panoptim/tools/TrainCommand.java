package io.panoptim.tools;

import io.panoptim.tools.train.digits.DigitsCommand;
import io.panoptim.tools.train.gan.GanCommand;
import io.panoptim.tools.train.moons.MoonsCommand;
import io.panoptim.tools.train.regression.RegressionCommand;
import io.panoptim.tools.train.trace2d.Trace2dCommand;
import io.panoptim.tools.train.transfer.TransferCommand;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code panoptim train}: one subcommand for each experiment. */
@Command(name = "train", subcommands = {
    MoonsCommand.class,
    Trace2dCommand.class,
    RegressionCommand.class,
    DigitsCommand.class,
    GanCommand.class,
    TransferCommand.class,
}, synopsisSubcommandLabel = "EXPERIMENT", commandListHeading = "%nExperiments:%n",
        description = "Trains a small model, and plots how it went.")
final class TrainCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        spec.commandLine().usage(spec.commandLine().getErr());
        return Main.FAILED;
    }
}
