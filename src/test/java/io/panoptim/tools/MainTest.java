package io.panoptim.tools;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import picocli.CommandLine.Command;

class MainTest {
    @ParameterizedTest
    @CsvSource(delimiter = '>', quoteCharacter = '`', textBlock = """
            frobnicate                                               > Unmatched argument at index 0: 'frobnicate' (see panoptim --help)
            info --foo                                               > Unknown option: '--foo' (see panoptim info --help)
            train --foo                                              > Unknown option: '--foo' (see panoptim train --help)
            train moons --foo                                        > Unknown option: '--foo' (see panoptim train moons --help)
            train moons --lr quick                                   > Invalid value for option '--lr': 'quick' is not a double (see panoptim train moons --help)
            replay --config c                                        > Missing required options: '--trace=TRACE.safetensors', '--out=OUT.safetensors' (see panoptim replay --help)
            replay --config c --trace t --out o --foo                > Unknown option: '--foo' (see panoptim replay --help)
            replay --config c --trace t --out no/o                   > replay: no/o: cannot be written: its folder does not exist
            replay --config c --trace t --out none                   > replay: c: cannot be read: no such file
            train moons --lr -1                                      > --lr: Adam: Invalid learning rate: -1.0
            train moons --epochs 0                                   > --epochs: 0: at least 1 is needed
            train moons --optimizer Foo                              > --optimizer: no optimizer 'Foo' in this version: it has [OPTIMIZERS]
            train moons --device abacus                              > Engines.named: no engine 'abacus': there are [cuda, cpu, reference]
            train moons --scheduler Foo                              > --scheduler: no scheduler 'Foo' in this version: it has [SCHEDULERS]
            train moons --scheduler StepLR:step_size=1,gama=2        > --scheduler.gama: unknown key: expected one of [name, param_group_field, groups, step_size, gamma, last_epoch]
            train moons --scheduler StepLR:gamma                     > --scheduler: expected KEY=VALUE, found 'gamma'
            train moons --scheduler StepLR:gamma=2                   > --scheduler: 'step_size' is missing
            train moons --scheduler StepLR:gamma=2,gamma=3           > --scheduler.gamma: given twice
            train moons --scheduler StepLR:step_size=1.5             > --scheduler.step_size: expected an integer, found 1.5
            train moons --scheduler StepLR:step_size=1+2             > --scheduler.step_size: expected an integer, found [1,2]
            train moons --scheduler StepLR:step_size=                > --scheduler.step_size: expected an integer, found ""
            train moons --scheduler StepLR:step_size=1,gamma=x       > --scheduler.gamma: expected a number, found "x"
            train moons --scheduler StepLR:step_size=0               > --scheduler: StepLR: Invalid step_size: 0, at least 1 is needed
            train moons --scheduler StepLR:step_size=1,last_epoch=4  > --scheduler.last_epoch: expected -1, since a run begins at the first step
            train moons --scheduler MultiStepLR:milestones=1+b       > --scheduler.milestones[1]: expected an integer, found "b"
            train moons --scheduler MultiStepLR:milestones=b         > --scheduler.milestones[0]: expected an integer, found "b"
            train moons --optimizer Adam:beta=1                      > --optimizer.beta: unknown option: Adam has [lr, betas, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay]
            train moons --compare SGD:lr=-1                          > --compare: SGD: Invalid learning rate: -1.0
            train moons --compare SGD@Foo                            > --compare: no scheduler 'Foo' in this version: it has [SCHEDULERS]
            train moons --scheduler manual:every=5                   > --scheduler: 'factor' is missing
            train moons --scheduler manual:every=0,factor=2          > --scheduler.every: 0: at least 1 is needed
            train regression --batch none                            > Invalid value for option '--batch': 'none' is neither a number of rows, at least 1, nor 'all' (see panoptim train regression --help)
            train digits --features-rate -1                          > --features-rate: -1.0: expected a factor of at least 0
            train gan --batch 0                                      > --batch: 0: at least 1 is needed
            train gan --discriminator-optimizer Foo                  > --discriminator-optimizer: no optimizer 'Foo' in this version: it has [OPTIMIZERS]
            train transfer --images 0                                > --images: 0: 1 to 100 can be chosen
            train moons --output pom.xml                             > --output: pom.xml cannot be created: java.nio.file.FileAlreadyExistsException: pom.xml
            """)
    void whatIsWrongIsOneLine(String arguments, String message) {
        Tool tool = Tool.run(arguments.split(" "));
        assertEquals("panoptim: " + Tool.withNames(message) + System.lineSeparator(), tool.err());
        assertEquals("", tool.out());
        assertEquals(2, tool.status());
    }

    @Test
    void theStackTraceIsShownWhenAskedFor() {
        Tool tool = Tool.run("train", "moons", "--debug", "--lr", "-1");
        assertTrue(tool.err().startsWith("panoptim: --lr: Adam: Invalid learning rate: -1.0"), tool.err());
        assertTrue(tool.err().contains("\tat io.panoptim.tools.OptimizerKind"), tool.err());

        tool = Tool.run("replay", "--debug", "--config", "none", "--trace", "none", "--out", "out");
        assertTrue(tool.err().startsWith("panoptim: replay: none: cannot be read: no such file"), tool.err());
        assertTrue(tool.err().contains("\tat io.panoptim.tools.replay.ReplayCommand"), tool.err());
        assertEquals(2, tool.status());
    }

    @Command(name = "exhaust")
    static final class Exhaust implements Runnable {
        @Override
        public void run() {
            throw new OutOfMemoryError("no more");
        }
    }

    @Test
    void anErrorIsOneLineToo() {
        StringWriter err = new StringWriter();
        CommandLine command = Main.commandLine().addSubcommand(new Exhaust()).setErr(new PrintWriter(err));
        assertEquals(2, command.execute("exhaust"));
        assertEquals("panoptim: java.lang.OutOfMemoryError: no more" + System.lineSeparator(), err.toString());
    }

    @Test
    void theVersionIsThatOfTheBuild() {
        Tool tool = Tool.run("--version");
        assertTrue(tool.out().matches("panoptim \\d+\\.\\d+\\.\\d+\\S*\\s+"), tool.out());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "info ", "train ", "train moons ", "train trace2d ", "train regression ", "train digits ", "train gan ",
        "train transfer ", "replay ", "schedule "})
    void everyCommandHasHelp(String command) {
        Tool tool = Tool.run((command + "--help").split(" "));
        assertTrue(tool.out().startsWith("Usage: panoptim " + command), tool.out());
        assertEquals(0, tool.status());
    }

    @Test
    void theHelpOfTrainingHasAllNames() {
        String help = Tool.run("train", "moons", "--help").out().replaceAll("\\s+", " ");
        assertTrue(help.contains(Tool.withNames("One of OPTIMIZERS, with")), help);
        assertTrue(help.contains(Tool.withNames("One of SCHEDULERS, with")), help);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "train"})
    void withoutACommandTheHelpIsAnError(String command) {
        Tool tool = Tool.run(command.isEmpty() ? new String[0] : new String[] {command});
        assertTrue(tool.err().startsWith("Usage: panoptim " + command), tool.err());
        assertEquals(2, tool.status());
    }
}
