package io.panoptim.tools.train.moons;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.TestEngines;
import io.panoptim.tensor.Parameter;
import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Gradients;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MoonsTest {
    @Test
    void withItsDefaultsItLearnsAndWritesWhatItSays(@TempDir Path folder) throws Exception {
        Tool tool = Tool.train("moons", folder);
        assertEquals(0, tool.status(), tool.err());
        Matcher accuracy = Pattern.compile("([0-9.]+) % training accuracy").matcher(tool.out());
        assertTrue(accuracy.find() && Double.parseDouble(accuracy.group(1)) >= 90, tool.out());

        List<String> history = Files.readAllLines(folder.resolve("history.csv"));
        assertEquals(1001, history.size());
        // The same on every machine: data, initial parameters and loss are computed in one order with strict functions.
        assertEquals("1,0.66978582051987,0.01", history.get(1));
        assertTrue(history.get(51).endsWith("," + 0.01 * 0.99), history.get(51));

        assumeTrue(Charts.unavailable().isEmpty(), () -> Charts.unavailable().orElse(""));
        for (String plot : List.of("moons.png", "loss.png", "lr.png")) {
            assertEquals(1600, ImageIO.read(folder.resolve(plot).toFile()).getWidth());
            assertTrue(tool.out().contains(plot), tool.out());
        }
    }

    @ParameterizedTest
    @CsvSource({"Adam, 1000", "AdamW, 1000", "SGD, 1000", "LBFGS, 30"})
    void theEnginesGiveTheSameHistory(String optimizer, String epochs, @TempDir Path folder) throws Exception {
        TestEngines.cpu();
        byte[][] histories = new byte[2][];
        for (int i = 0; i < 2; i++) {
            Path output = folder.resolve("" + i);
            Tool tool = Tool.train("moons", output, "--optimizer", optimizer, "--device", i == 0 ? "reference" : "cpu",
                    "--epochs", epochs);
            assertEquals(0, tool.status(), tool.err());
            histories[i] = Files.readAllBytes(output.resolve("history.csv"));
        }
        assertArrayEquals(histories[0], histories[1]);
    }

    @Test
    void theSeedChangesDataAndParameters() {
        try (Moons first = new Moons(TestEngines.reference(), 1);
             Moons again = new Moons(TestEngines.reference(), 1);
             Moons second = new Moons(TestEngines.reference(), 2)) {
            double loss = first.lossAndGradients();
            assertEquals(loss, again.lossAndGradients());
            assertTrue(loss != second.lossAndGradients());
        }
    }

    @Test
    void theMoonsAreThoseOfScikitLearn() {
        TwoMoons moons = TwoMoons.create(new Random(0), 3, 0);
        double[][] expected = {{1, 0}, {0, 1}, {-1, 0}, {0, 0.5}, {1, -0.5}, {2, 0.5}};
        for (int i = 0; i < expected.length; i++) {
            assertArrayEquals(expected[i], moons.points()[i], 1e-15);
            assertEquals(i / 3, moons.labels()[i]);
        }
    }

    @Test
    void theGradientsAreThoseOfTheLoss() {
        try (Moons moons = new Moons(TestEngines.reference(), 1)) {
            Gradients.check(moons);
            assertEquals(List.of("hidden.weight", "hidden.bias", "output.weight", "output.bias"),
                    moons.tasks().getFirst().groups().getFirst().parameters().stream().map(Parameter::name).toList());
        }
    }

    /** On a GPU or on the stand-in for its driver. */
    @Test
    void onCudaItLearnsTheSame(@TempDir Path here, @TempDir Path there) throws Exception {
        TestEngines.cuda();
        for (String optimizer : List.of("AdamW", "SGD", "LAMB")) {
            Tool reference = Tool.train("moons", here, "--epochs", "30", "--optimizer", optimizer, "--device", "reference");
            assertEquals(0, reference.status(), reference.err());
            Tool cuda = Tool.train("moons", there, "--epochs", "30", "--optimizer", optimizer, "--device", "cuda");
            assertEquals(0, cuda.status(), cuda.err());
            assertEquals(Files.readAllLines(here.resolve("history.csv")), Files.readAllLines(there.resolve("history.csv")), optimizer);
        }
    }

    @Test
    void severalRunsAreComparedInTheSamePlots(@TempDir Path folder) throws Exception {
        Tool tool = Tool.train("moons", folder, "--epochs", "60", "--compare", "SGD:lr=0.5", "RMSprop@none");
        assertEquals(0, tool.status(), tool.err());
        List<String> lines = Files.readAllLines(folder.resolve("history.csv"));
        assertEquals("run,epoch,loss,lr", lines.getFirst());
        assertEquals(181, lines.size());
        assertEquals("\"SGD:lr=0.5\",1,0.66978582051987,0.5", lines.get(61));
        assertEquals("\"RMSprop@none\",1,0.66978582051987,0.01", lines.get(121));
        assumeTrue(Charts.unavailable().isEmpty(), () -> Charts.unavailable().orElse(""));
        for (String plot : List.of("moons.png", "moons-2.png", "moons-3.png", "loss.png", "lr.png")) {
            assertEquals(1600, ImageIO.read(folder.resolve(plot).toFile()).getWidth());
            assertTrue(tool.out().contains(plot), tool.out());
        }
    }
}
