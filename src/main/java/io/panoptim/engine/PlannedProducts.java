package io.panoptim.engine;

import io.panoptim.PanoptimException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A sequence of products each of which an engine runs for its whole batch. */
final class PlannedProducts implements MatrixProduct.Sequence {
    private record Planned(MatrixProduct.Plan plan, MatrixProduct.Scaled scaled) {}

    private final Map<MatrixProduct, MatrixProduct.Plan> plans = new HashMap<>();
    private final List<Planned> sequence = new ArrayList<>();

    PlannedProducts(Engine engine, List<MatrixProduct.Scaled> products) {
        try {
            products.forEach(each -> sequence.add(new Planned(plans.computeIfAbsent(each.product(), engine::matrixProduct), each)));
        } catch (PanoptimException refused) {
            close();
            throw refused;
        }
    }

    @Override
    public void run(Stream stream) {
        for (Planned each : sequence) {
            each.plan.run(each.scaled.alpha(), each.scaled.beta(), each.scaled.gamma(), stream);
        }
    }

    @Override
    public void close() {
        plans.values().forEach(MatrixProduct.Plan::close);
    }
}
