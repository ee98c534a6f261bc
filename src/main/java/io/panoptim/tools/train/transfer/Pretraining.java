package io.panoptim.tools.train.transfer;

import io.panoptim.engine.Engine;
import io.panoptim.optim.Adam;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.train.Batches;
import io.panoptim.tools.train.digits.Images;
import io.panoptim.tools.train.digits.Model;
import io.panoptim.tools.train.nn.Weights;
import java.util.List;
import java.util.Random;

/**
 * A model that has learned the digits 0 to 4.
 *
 * @param features the values of its features' weights
 * @param accuracy on held-out images
 */
record Pretraining(List<double[]> features, double accuracy) {
    /** From here on digits are kept for the fine-tuning. */
    static final int FIRST_NEW_DIGIT = 5;
    private static final int EPOCHS = 5;
    private static final int BATCH = 32;
    private static final double LR = 5e-3;

    static Pretraining run(Engine engine, long seed) {
        Images training = Images.all().training().ofClasses(0, FIRST_NEW_DIGIT);
        Random random = new Random(seed);
        try (Memory memory = engine.memory()) {
            Model model = Model.create(memory, random, training.classes());
            Batches batches = new Batches(training.size(), BATCH, random);
            try (Adam optimizer = new Adam(engine, model.parameters(), Adam.Options.defaults().withLr(LR))) {
                for (int step = 0; step < EPOCHS * batches.count(); step++) {
                    batches.select(step % batches.count());
                    model.lossAndGradients(batches.of(training.pixels(), Images.PIXELS), batches.of(training.labels()), false);
                    optimizer.step();
                }
            }
            model.features().read();
            return new Pretraining(model.features().weights().stream().map(Weights::values).toList(),
                    model.accuracy(Images.all().heldOut().ofClasses(0, FIRST_NEW_DIGIT)));
        }
    }
}
