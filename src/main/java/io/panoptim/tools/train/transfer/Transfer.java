package io.panoptim.tools.train.transfer;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.train.Batches;
import io.panoptim.tools.train.Experiment;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.Task.Group;
import io.panoptim.tools.train.digits.Images;
import io.panoptim.tools.train.digits.Model;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;

/** The fine-tuning of a model that knows some digits to others, of which it sees few. */
final class Transfer implements Experiment {
    /**
     * How the features, which are learned already, are treated.
     *
     * @param rate of their learning, as a multiple of the classifier's
     * @param frozenEpochs for how many epochs they are not changed at all
     */
    record Strategy(double rate, int frozenEpochs) {
        /** As if they were new. */
        static final Strategy ONE_RATE = new Strategy(1, 0);
    }

    private final Memory memory;
    private final Pretraining pretraining;
    private final Images seen;
    private final Images heldOut;
    private final Strategy strategy;
    private final Model model;
    private final Batches batches;
    private boolean frozen;

    Transfer(Engine engine, Pretraining pretraining, Strategy strategy, int imagesPerDigit, int batchSize, long seed) {
        this.pretraining = pretraining;
        this.strategy = strategy;
        Images images = Images.all().ofClasses(Pretraining.FIRST_NEW_DIGIT, 10);
        seen = images.few(imagesPerDigit);
        heldOut = images.butFew(imagesPerDigit);
        Random random = new Random(seed + 1);
        memory = engine.memory();
        model = Model.create(memory, random, images.classes());
        for (int i = 0; i < pretraining.features().size(); i++) {
            model.features().weights().get(i).set(pretraining.features().get(i));
        }
        batches = new Batches(seen.size(), batchSize, random);
    }

    @Override
    public String description() {
        return String.format(Locale.ROOT, "handwritten digits: a model that has learned 0 to 4 (%.1f %% of held-out images right) "
                + "learns 5 to 9 from %d images; %s", 100 * pretraining.accuracy(), seen.size(), batches);
    }

    @Override
    public List<Task> tasks() {
        return List.of(new Task("", List.of(new Group("features", model.features().parameters(), strategy.rate),
                new Group("classifier", model.classifier().parameters(), 1)), this::lossAndGradients));
    }

    @Override
    public int batches() {
        return batches.count();
    }

    @Override
    public void select(int epoch, int batch) {
        batches.select(batch);
        frozen = epoch < strategy.frozenEpochs;
    }

    double lossAndGradients() {
        return model.lossAndGradients(batches.of(seen.pixels(), Images.PIXELS), batches.of(seen.labels()), frozen);
    }

    @Override
    public Map<String, Double> measure() {
        return Map.of("accuracy", model.accuracy(heldOut));
    }

    @Override
    public String result() {
        return String.format(Locale.ROOT, "%.2f %% of %d held-out images classified rightly", 100 * model.accuracy(heldOut),
                heldOut.size());
    }

    @Override
    public void close() {
        memory.close();
    }
}
