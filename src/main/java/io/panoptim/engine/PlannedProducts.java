package io.panoptim.engine;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A sequence of products each of which an engine runs for its whole batch. */
final class PlannedProducts extends ProductCalls implements MatrixProduct.Sequence {
    private record Planned(MatrixProduct.Plan plan, double alpha, double beta, double gamma) {}

    private final Map<MatrixProduct, MatrixProduct.Plan> plans = new HashMap<>();
    private final List<Planned> sequence = new ArrayList<>();

    PlannedProducts(TableEngine engine, List<MatrixProduct.Scaled> products) {
        super(engine, products.stream().map(MatrixProduct.Scaled::product).distinct().toList(), true); // plans may accept less
        try {
            products.forEach(each -> sequence.add(new Planned(plans.computeIfAbsent(each.product(), engine::matrixProduct), each.alpha(),
                    each.beta(), each.gamma())));
        } catch (RuntimeException | Error refused) {
            free();
            throw refused;
        }
    }

    @Override
    public void run(Stream stream) {
        enter(stream);
        try {
            checkAccessible();
            for (Planned each : sequence) {
                each.plan.run(each.alpha, each.beta, each.gamma, stream);
            }
        } finally {
            leave();
        }
    }

    @Override
    public void factors(int index, double alpha, double beta, double gamma) {
        enter();
        try {
            sequence.set(index, new Planned(sequence.get(index).plan, alpha, beta, gamma));
        } finally {
            leave();
        }
    }

    @Override
    protected void free() {
        plans.values().forEach(MatrixProduct.Plan::close);
    }
}
