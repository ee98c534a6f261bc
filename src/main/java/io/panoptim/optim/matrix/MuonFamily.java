package io.panoptim.optim.matrix;

import io.panoptim.engine.Engine;
import io.panoptim.optim.Check;
import io.panoptim.optim.MatrixOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.List;
import java.util.Map;

/**
 * What Muon and its variants have in common: they go along matrices that Newton–Schulz makes of their averages.
 *
 * @param <O> the options
 */
abstract class MuonFamily<O extends Record> extends MatrixOptimizer<O> {
    private final MuonStep step;
    private DType products = DType.FLOAT32;

    MuonFamily(Engine engine, OptionSchema<O> schema, MuonStep.Variant variant, List<Parameter> parameters, O options) {
        super(engine, schema, parameters, options);
        step = new MuonStep(engine, variant, this::stream, () -> products);
    }

    /**
     * The type in which Newton–Schulz computes, but for float64 parameters: float32, as it is at first, or bfloat16, as in torch and the
     * authors' versions. bfloat16 takes more operations where a matrix is longer than wide, or wider, and is faster all the same where
     * the engine's device has instructions for it, which {@link Engine#widens} knows.
     */
    public void products(DType type) {
        if (type != products) {
            change("products", () -> {
                products = checkProducts(name(), type);
                replan();
            });
        }
    }

    /** The type in which Newton–Schulz computes. */
    public DType products() {
        return products;
    }

    /** A type that products may have. */
    static DType checkProducts(String optimizer, DType type) {
        Check.check(type == DType.FLOAT32 || type == DType.BFLOAT16, optimizer, "products in " + type + ": expected float32 or bfloat16");
        return type;
    }

    /** What is held besides the state, from the first step on, for the parameters that have stepped last. */
    public long workspaceBytes() {
        return step.bytes() + missingBytes();
    }

    @Override
    protected List<String> stateKeys(ParamGroup group) {
        return List.of(MuonStep.MOMENTUM_BUFFER);
    }

    @Override
    protected void build(List<Matrix> stepping) {
        step.build(stepping);
    }

    @Override
    protected void moved(Map<Integer, Tensor> gradients) {
        step.moved(gradients);
    }

    @Override
    protected void stepMatrices() {
        step.run();
    }

    @Override
    protected void freePlans() {
        step.close();
    }
}
