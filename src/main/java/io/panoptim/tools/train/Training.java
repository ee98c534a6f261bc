package io.panoptim.tools.train;

import io.panoptim.optim.Optimizer;
import io.panoptim.schedule.LRScheduler;
import java.util.Optional;

/** The training loop. */
final class Training {
    private Training() {}

    /** As torch's loops: gradients, the optimizer's step, the scheduler's step. In the end the parameters can be evaluated. */
    static History run(Experiment experiment, Optimizer optimizer, Optional<LRScheduler> scheduler, int epochs,
                       Progress progress) {
        History history = new History(epochs);
        optimizer.train();
        for (int epoch = 0; epoch < epochs; epoch++) {
            long start = System.nanoTime();
            double lr = optimizer.paramGroups().getFirst().lr();
            long[] evaluating = new long[1];
            double loss = optimizer.step(() -> {
                long before = System.nanoTime();
                double evaluated = experiment.lossAndGradients();
                evaluating[0] += System.nanoTime() - before;
                return evaluated;
            });
            long stepTime = System.nanoTime() - start - evaluating[0];
            scheduler.ifPresent(present -> present.stepWithMetric(loss));
            history.record(epoch, loss, lr, stepTime, System.nanoTime() - start);
            progress.update(epoch + 1, loss, lr);
        }
        optimizer.eval();
        return history;
    }
}
