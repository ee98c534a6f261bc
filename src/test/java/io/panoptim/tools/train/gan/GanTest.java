package io.panoptim.tools.train.gan;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.TestEngines;
import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Gradients;
import io.panoptim.tools.train.Task;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GanTest {
    @Test
    void theGeneratorComesToTheDistribution(@TempDir Path folder) throws Exception {
        Tool tool = Tool.train("gan", folder, "--discriminator-optimizer", "Adam:betas=0.5+0.99");
        assertEquals(0, tool.status(), tool.err());
        Matcher distance = Pattern.compile("at a distance of ([0-9.]+) from the target").matcher(tool.out());
        assertTrue(distance.find() && Double.parseDouble(distance.group(1)) < 0.3, tool.out());
        assertEquals("epoch,loss discriminator,loss generator,lr discriminator,lr generator,generated mean,generated deviation",
                Files.readAllLines(folder.resolve("history.csv")).getFirst());
        assertTrue(Files.readAllLines(folder.resolve("history.csv")).get(1).contains("," + 4 * 0.002 + ",0.002,"));
    }

    @Test
    void theGradientsAreThoseOfTheLosses() {
        try (Gan gan = new Gan(TestEngines.reference(), 8, 4, 1)) {
            Gradients.check(gan);
        }
    }

    @Test
    void eachOptimizerHasItsHalfOfTheParameters() {
        try (Gan gan = new Gan(TestEngines.reference(), 8, 4, 1)) {
            gan.select(0, 0);
            List<Task> tasks = gan.tasks();
            assertEquals(List.of("discriminator", "generator"), tasks.stream().map(Task::name).toList());
            Set<Object> all = new HashSet<>();
            tasks.forEach(task -> assertTrue(all.addAll(task.groups().getFirst().parameters())));
            tasks.getFirst().lossAndGradients().getAsDouble();
            tasks.getLast().groups().getFirst().parameters().forEach(parameter -> assertEquals(null, parameter.gradient()));
        }
    }

    @Test
    void aLossIsTheSameForTheSameBatch() {
        try (Gan gan = new Gan(TestEngines.reference(), 8, 4, 1)) {
            gan.select(0, 0);
            double[] first = {gan.discriminatorsLoss(), gan.generatorsLoss()};
            assertArrayEquals(first, new double[] {gan.discriminatorsLoss(), gan.generatorsLoss()});
            gan.select(0, 1);
            assertTrue(first[0] != gan.discriminatorsLoss());
        }
    }
}
