package io.panoptim.tools.train.transfer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.TestEngines;
import io.panoptim.tensor.Parameter;
import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Gradients;
import io.panoptim.tools.train.transfer.Transfer.Strategy;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TransferTest {
    @Test
    void discriminativeRatesBeatOneRate(@TempDir Path folder) {
        Tool tool = Tool.train("transfer", folder);
        assertEquals(0, tool.status(), tool.err());
        Matcher accuracies = Pattern.compile("([0-9.]+) % of [0-9]+ held-out images").matcher(tool.out());
        List<Double> found = accuracies.results().map(result -> Double.parseDouble(result.group(1))).toList();
        assertEquals(2, found.size(), tool.out());
        assertTrue(found.get(1) > found.get(0) + 0.5, tool.out());
    }

    @Test
    void frozenFeaturesHaveNoGradientUntilTheyAreThawed() {
        Pretraining pretraining = Pretraining.run(TestEngines.cpu(), 0);
        assertTrue(pretraining.accuracy() > 0.95, "" + pretraining.accuracy());
        try (Transfer transfer = new Transfer(TestEngines.reference(), pretraining, new Strategy(0.1, 3), 2, 10, 0)) {
            List<Parameter> features = transfer.tasks().getFirst().groups().getFirst().parameters();
            for (int epoch = 0; epoch < 5; epoch++) {
                transfer.select(epoch, 0);
                transfer.lossAndGradients();
                boolean frozen = epoch < 3;
                features.forEach(parameter -> assertEquals(frozen, parameter.gradient() == null, parameter.toString()));
            }
            assertEquals((float) pretraining.features().getFirst()[5], features.getFirst().value().get(5));
        }
        try (Transfer transfer = new Transfer(TestEngines.reference(), pretraining, Strategy.ONE_RATE, 2, 4, 0)) {
            Gradients.check(transfer);
        }
    }
}
