package io.panoptim.tools.train;

import io.panoptim.optim.Optimizer;
import io.panoptim.schedule.LRScheduler;
import java.util.Optional;

/** The training loop. */
final class Training {
    private Training() {}

    /** As torch's loops: gradients, the optimizer's step, the scheduler's step. */
    static History run(Experiment experiment, Optimizer optimizer, Optional<LRScheduler> scheduler, int epochs,
                       Progress progress) {
        History history = new History(epochs);
        for (int epoch = 0; epoch < epochs; epoch++) {
            long start = System.nanoTime();
            double loss = experiment.lossAndGradients();
            double lr = optimizer.paramGroups().getFirst().lr();
            long beforeStep = System.nanoTime();
            optimizer.step();
            long afterStep = System.nanoTime();
            scheduler.ifPresent(LRScheduler::step);
            history.record(epoch, loss, lr, afterStep - beforeStep, System.nanoTime() - start);
            progress.update(epoch + 1, loss, lr);
        }
        return history;
    }
}
