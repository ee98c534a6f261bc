package io.panoptim.tools.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Charts;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.w3c.dom.Document;

class ScheduleCommandTest {
    @TempDir
    private Path folder;

    private static Tool schedule(String... arguments) {
        return Tool.run(Stream.concat(Stream.of("schedule"), Arrays.stream(arguments)).toArray(String[]::new));
    }

    private static String printed(String... arguments) {
        Tool tool = schedule(arguments);
        assertEquals("", tool.err());
        assertEquals(0, tool.status());
        return tool.out();
    }

    private Path config(String text) throws IOException {
        return Files.writeString(folder.resolve("config.json"), text);
    }

    @Test
    void aTableHasALineForEachStep() {
        assertEquals("""
                  step              lr
                     0             0.1
                     1             0.1
                     2           1e-07
                     3           1e-07
                """, printed("--scheduler", "StepLR:step_size=2,gamma=1e-6", "--steps", "4"));
    }

    @Test
    void aLongTableHasOnlySomeStepsAndTheLast() {
        List<String> lines = printed("--scheduler", "ExponentialLR:gamma=0.99", "--steps", "1000").lines().toList();
        assertEquals(42, lines.size());
        assertTrue(lines.get(2).startsWith("    25 "), lines.get(2));
        assertTrue(lines.getLast().startsWith("   999 "), lines.getLast());
        assertEquals(5, printed("--scheduler", "ExponentialLR:gamma=0.99", "--steps", "1000", "--every", "333").lines().count());
    }

    @Test
    void csvHasAllDoublesAsTheyAre() {
        assertEquals("""
                step,lr of group 0,lr of group 1
                0,0.1,0.03
                1,0.06999999999999999,0.020999999999999998
                2,0.048999999999999995,0.014699999999999998
                """, printed("--scheduler", "ExponentialLR:gamma=0.7", "--lr", "0.1,0.03", "--steps", "3", "--csv"));
    }

    @Test
    void whatElseChangesIsShownToo() {
        assertEquals("""
                step,lr,betas[0]
                0,0.040000000000000036,0.95
                1,0.52,0.8999999999999999
                2,1.0,0.85
                3,4.0E-6,0.95
                """, printed("--optimizer", "AdamW:weight_decay=0.5", "--scheduler", "{\"name\": \"OneCycleLR\", \"max_lr\": 1, "
                        + "\"total_steps\": 4, \"pct_start\": 0.75}", "--steps", "4", "--csv"));
    }

    @Test
    void aConfigurationOfReplayIsShown() throws IOException {
        Path config = config("""
                {"optimizer": "AdamW", "defaults": {"lr": 0.5},
                 "param_groups": [{"params": ["a", "b"]}, {"params": ["c"], "lr": 0.25, "weight_decay": 0.125}],
                 "scheduler": {"name": "ChainedScheduler", "schedulers": [
                    {"name": "SequentialLR", "milestones": [2], "schedulers": [{"name": "ConstantLR", "factor": 0.5, "total_iters": 2},
                        {"name": "ExponentialLR", "gamma": 0.5}]},
                    {"name": "StepLR", "step_size": 3, "gamma": 0.5, "param_group_field": "weight_decay", "groups": [1]}]}}""");
        assertEquals("""
                step,lr of group 0,lr of group 1,weight_decay of group 0,weight_decay of group 1
                0,0.25,0.125,0.01,0.125
                1,0.25,0.125,0.01,0.125
                2,0.5,0.25,0.01,0.125
                3,0.25,0.125,0.01,0.0625
                """, printed("--config", config.toString(), "--steps", "4", "--csv"));
    }

    @Test
    void asManyStepsAsThereAreMetricsAreShown() throws IOException {
        String expected = """
                step,lr
                0,0.5
                1,0.5
                2,0.5
                3,0.25
                """;
        assertEquals(expected, printed("--scheduler", "ReduceLROnPlateau:patience=0,factor=0.5", "--lr", "0.5", "--metrics",
                "3,2,2,2", "--csv"));
        assertEquals(expected, printed("--csv", "--config", config("""
                {"optimizer": "SGD", "defaults": {"lr": 0.5}, "metrics": [3, 2, 2, NaN],
                 "scheduler": {"name": "reduce_lr_on_plateau", "patience": 0, "factor": 0.5}}""").toString()));
    }

    @Test
    void theLastStepNeedsNoFurtherOneOfTheScheduler() {
        assertEquals(6, printed("--scheduler", "OneCycleLR:max_lr=1,total_steps=4", "--steps", "5").lines().count());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '>', quoteCharacter = '`', textBlock = """
            --scheduler Foo                                           > --scheduler: no scheduler 'Foo' in this version: it has [SCHEDULERS]
            --scheduler {"name":                                      > --scheduler: not valid JSON:
            --scheduler StepLR                                        > --scheduler: 'step_size' is missing
            --scheduler StepLR:step_size=1 --steps 0                  > --steps: 0: at least 1 is needed
            --scheduler StepLR:step_size=1 --every 0                  > --every: 0: at least 1 is needed
            --scheduler StepLR:step_size=1 --lr -1                    > --lr: SGD: Invalid learning rate: -1.0
            --scheduler StepLR:step_size=1 --lr a                     > Invalid value for option '--lr' (RATE): 'a' is not a double (see panoptim schedule --help)
            --scheduler StepLR:step_size=1 --optimizer Foo            > --optimizer: no optimizer 'Foo' in this version: it has [OPTIMIZERS]
            --scheduler StepLR:step_size=1 --optimizer SGD:rho=1      > --optimizer.rho: unknown option: SGD has [lr, momentum,
            --scheduler StepLR:step_size=1 --plot lr.gif              > --plot: lr.gif: expected a name that ends with .png or .svg
            --scheduler StepLR:step_size=1 --plot no/lr.png           > --plot: no/lr.png: cannot be written: its folder does not exist
            --scheduler StepLR:step_size=1,param_group_field=rho      > --scheduler: SGD: unknown option 'rho': it has [lr,
            --scheduler StepLR:step_size=1,param_group_field=nesterov > --scheduler: SGD: 'nesterov' is a flag: only numbers can be scheduled
            --scheduler StepLR:step_size=1,groups=1                   > --scheduler: Hyperparameter.ofGroups: no group 1: the optimizer has 1
            --scheduler OneCycleLR:max_lr=1                           > --scheduler: You must define either total_steps OR (epochs AND steps_per_epoch)
            --scheduler OneCycleLR:max_lr=1,total_steps=9             > schedule: after step 9: OneCycleLR.step: Tried to step 10 times. The specified number of total steps is 9 (--steps shows fewer)
            --scheduler OneCycleLR:max_lr=1+2,total_steps=9 --lr 1,2,3 > --scheduler: OneCycleLR: max_lr must have the same length as optimizer.param_groups. max_lr has 2 values, param_groups has 3.
            --scheduler CyclicLR:base_lr=0,max_lr=1,mode=square       > --scheduler.mode: expected one of [triangular, triangular2, exp_range], found "square"
            --scheduler CyclicLR:base_lr=0,max_lr=1,cycle_momentum=1  > --scheduler.cycle_momentum: expected true or false, found 1
            --scheduler ReduceLROnPlateau --steps 5 --metrics 1,2,3   > --metrics: ReduceLROnPlateau watches a value after each step: expected at least 4, found 3
            --scheduler ReduceLROnPlateau                             > --metrics: ReduceLROnPlateau watches a value after each step: expected at least 99, found 0
            --config none                                             > schedule: none: cannot be read: no such file
            --config none --lr 1                                      > --lr: is for --scheduler: the configuration says it itself
            --config none --scheduler StepLR:step_size=1              > Error: --config=CONFIG.json, --scheduler=NAME:KEY=VALUE,... are mutually exclusive (specify only one) (see panoptim schedule --help)
            --steps 5                                                 > Error: Missing required argument (specify one of these): (--config=CONFIG.json | --scheduler=NAME:KEY=VALUE,...) (see panoptim schedule --help)
            """)
    void whatIsWrongIsOneLine(String arguments, String message) {
        Tool tool = schedule(arguments.split(" "));
        assertTrue(tool.err().startsWith("panoptim: " + Tool.withNames(message)), tool.err());
        assertEquals(1, tool.err().lines().count());
        assertEquals("", tool.out());
        assertEquals(2, tool.status());
    }

    @Test
    void aConfigurationWithoutASchedulerIsRefused() throws IOException {
        Path config = config("{\"optimizer\": \"SGD\"}");
        assertEquals("panoptim: schedule: " + config + ": $: 'scheduler' is missing" + System.lineSeparator(),
                schedule("--config", config.toString()).err());
    }

    @Test
    void aPlotHasALineForEachGroup() throws IOException {
        needsAFont();
        Tool tool = schedule("--scheduler", "OneCycleLR:max_lr=0.1+0.05,total_steps=90", "--lr", "0.1,0.1", "--steps", "90", "--plot",
                folder.resolve("lr.png").toString());
        assertEquals(0, tool.status(), tool.err());
        assertEquals(2, tool.err().lines().filter(line -> line.startsWith("panoptim: written: ")).count());
        BufferedImage image = ImageIO.read(folder.resolve("lr.png").toFile());
        assertTrue(count(image, 0x2166ac) > 3000, "the first group");
        assertTrue(count(image, 0xd6604d) > 1500, "the second group");
        assertEquals(0, count(image, 0x4d9221), "no third group");
        assertNotEquals(0, count(ImageIO.read(folder.resolve("lr-momentum.png").toFile()), 0xd6604d));
    }

    private static long count(BufferedImage image, int color) {
        return IntStream.range(0, image.getWidth()).mapToLong(x -> IntStream.range(0, image.getHeight())
                .filter(y -> (image.getRGB(x, y) & 0xffffff) == color).count()).sum();
    }

    @Test
    void aPlotCanBeSvg() throws Exception {
        needsAFont();
        Path file = folder.resolve("lr.svg");
        assertEquals(0, schedule("--scheduler", "cosine:num_warmup_steps=10,num_training_steps=100", "--lr", "0.1,0.02", "--plot",
                file.toString()).status());
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setFeature("http://apache.org/xml/features/nonvalidating/load-external-dtd", false);
        Document svg = factory.newDocumentBuilder().parse(file.toFile());
        assertEquals("svg", svg.getDocumentElement().getTagName());
        String text = Files.readString(file).toLowerCase(Locale.ROOT);
        assertTrue(text.contains("stroke:rgb(33,102,172)") && text.contains("stroke:rgb(214,96,77)"), "lines of two groups");
        assertFalse(Files.exists(folder.resolve("lr-momentum.svg")));
    }

    private static void needsAFont() {
        System.setProperty("java.awt.headless", "true");
        assumeTrue(Charts.unavailable().isEmpty(), () -> Charts.unavailable().orElse(""));
    }
}
