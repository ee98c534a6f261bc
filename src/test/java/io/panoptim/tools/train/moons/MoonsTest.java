package io.panoptim.tools.train.moons;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.TestEngines;
import io.panoptim.engine.HostMemory;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Charts;
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
        System.setProperty("java.awt.headless", "true");
        Tool tool = train("--output", folder.toString());
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
            Tool tool = train("--optimizer", optimizer, "--device", i == 0 ? "reference" : "cpu", "--epochs", epochs,
                    "--output", output.toString());
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
        TwoMoons data = TwoMoons.create(new Random(1), 10, 0.2);
        try (Memory memory = new HostMemory()) {
            TanhNetwork network = new TanhNetwork(memory, new Random(2), 2, 3, 2);
            assertEquals(List.of("hidden.weight", "hidden.bias", "output.weight", "output.bias"),
                    network.parameters().stream().map(Parameter::name).toList());
            for (Parameter parameter : network.parameters()) {
                network.lossAndGradients(data.points(), data.labels());
                Tensor gradient = parameter.gradient();
                double[] expected = new double[(int) gradient.elements()];
                double[] found = new double[expected.length];
                for (int i = 0; i < expected.length; i++) {
                    found[i] = gradient.get(i);
                }
                for (int i = 0; i < expected.length; i++) {
                    expected[i] = slope(network, data, parameter.value(), i);
                }
                assertArrayEquals(expected, found, 1e-6, parameter.toString());
            }
        }
    }

    private static double slope(TanhNetwork network, TwoMoons data, Tensor value, int index) {
        double before = value.get(index);
        double[] at = new double[2];
        double[] losses = new double[2];
        for (int i = 0; i < 2; i++) {
            value.set(index, before + (2 * i - 1) * 1e-3);
            at[i] = value.get(index);
            losses[i] = network.lossAndGradients(data.points(), data.labels());
        }
        value.set(index, before);
        return (losses[1] - losses[0]) / (at[1] - at[0]);
    }

    private static Tool train(String... options) {
        String[] arguments = new String[options.length + 2];
        arguments[0] = "train";
        arguments[1] = "moons";
        System.arraycopy(options, 0, arguments, 2, options.length);
        return Tool.run(arguments);
    }
}
