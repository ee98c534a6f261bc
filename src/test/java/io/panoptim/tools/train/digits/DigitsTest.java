package io.panoptim.tools.train.digits;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.TestEngines;
import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Gradients;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DigitsTest {
    @Test
    void itTellsMoreThan95PercentOfTheHeldOutImages(@TempDir Path folder) throws Exception {
        Tool tool = Tool.train("digits", folder, "--epochs", "6", "--scheduler", "StepLR:step_size=1,gamma=0.7");
        assertEquals(0, tool.status(), tool.err());
        Matcher accuracy = Pattern.compile("([0-9.]+) % of the held-out images").matcher(tool.out());
        assertTrue(accuracy.find() && Double.parseDouble(accuracy.group(1)) > 95, tool.out());
        List<String> lines = Files.readAllLines(folder.resolve("history.csv"));
        assertEquals("epoch,loss,lr features,lr classifier,accuracy", lines.getFirst());
        assertTrue(lines.get(2).contains("," + 0.01 * 0.5 * 0.7 + "," + 0.01 * 0.7 + ","), lines.get(2));
        assumeTrue(Charts.unavailable().isEmpty(), () -> Charts.unavailable().orElse(""));
        for (String plot : List.of("confusion.png", "loss.png", "lr.png", "accuracy.png")) {
            assertEquals(1600, ImageIO.read(folder.resolve(plot).toFile()).getWidth());
        }
    }

    @Test
    void theImagesAreTheRepositorys() {
        Images all = Images.all();
        assertEquals(1797, all.size());
        assertEquals(1797 * 64, all.pixels().length);
        assertArrayEquals(new int[] {178, 182, 177, 183, 181, 182, 181, 179, 174, 180},
                IntStream.range(0, 10).map(digit -> (int) Arrays.stream(all.labels()).filter(label -> label == digit).count()).toArray());
        // The mean pixel of sklearn.datasets.load_digits() is 4.884164579855314 of 16.
        assertEquals(4.884164579855314 / 16, Arrays.stream(all.pixels()).average().orElseThrow(), 1e-12);
        assertArrayEquals(new double[] {0, 0, 5 / 16.0, 13 / 16.0, 9 / 16.0, 1 / 16.0, 0, 0}, Arrays.copyOf(all.pixels(), 8));
    }

    @Test
    void noImageIsBothHeldOutAndTrainedOn() {
        assertEquals(1438, Images.all().training().size());
        assertEquals(359, Images.all().heldOut().size());
        Images five = Images.all().ofClasses(5, 10);
        assertEquals(182 + 181 + 179 + 174 + 180, five.size());
        assertEquals(5, five.classes());
        assertEquals(4, Arrays.stream(five.labels()).max().orElseThrow());
        for (int perClass : new int[] {1, 3, 100}) {
            Images few = five.few(perClass);
            assertEquals(5 * perClass, few.size());
            assertEquals(perClass, Arrays.stream(few.labels()).filter(label -> label == 2).count());
            assertEquals(five.size() - few.size(), five.butFew(perClass).size());
        }
    }

    @Test
    void theGradientsAreThoseOfTheLoss() {
        try (Digits digits = new Digits(TestEngines.reference(), 4, 0.5, 1)) {
            Gradients.check(digits);
        }
    }

    @Test
    void theConfusionCountsEveryHeldOutImage() {
        try (Digits digits = new Digits(TestEngines.reference(), 4, 0.5, 1)) {
            assertEquals(359, Arrays.stream(digits.confusion()).flatMapToInt(Arrays::stream).sum());
        }
    }
}
