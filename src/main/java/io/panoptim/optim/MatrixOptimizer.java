package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Optimizers whose step is composed of matrix products: every parameter is a matrix, its dimensions after the first flattened into
 * one. A subclass says what state a matrix has and what a step does with those that have a gradient.
 *
 * @param <O> the options
 */
public abstract class MatrixOptimizer<O extends Record> extends Optimizer {
    /** One place in memory that is optimized. */
    public static final class Matrix extends Tied {
        private final ParamGroup group;
        private final long id;
        private final long first;
        private final boolean transposed;
        private Map<String, Tensor> states = Map.of();
        private @Nullable Tensor gradient;

        private Matrix(String name, ParamGroup group, Parameter parameter, long id) {
            super(name);
            this.group = group;
            this.id = id;
            this.first = parameter.value().shape()[0];
            this.transposed = isTransposed(parameter.value());
        }

        private static boolean isTransposed(Tensor value) {
            long first = value.shape()[0];
            return first > 1 && value.strides()[0] == 1 && value.elements() > first;
        }

        /** Whether the first dimension is the outermost or the innermost one. */
        private static boolean isMatrix(Tensor value) {
            long first = value.shape()[0];
            return first <= 1 || value.elements() == 0 || value.strides()[0] == value.elements() / first || isTransposed(value);
        }

        public String name() {
            return name;
        }

        public ParamGroup group() {
            return group;
        }

        /** Its own in this optimizer, whatever happens. */
        public long id() {
            return id;
        }

        /** The memory of the parameter. */
        public Tensor tensor() {
            return value();
        }

        /** The gradient of the coming step. */
        public Tensor gradient() {
            return Objects.requireNonNull(gradient);
        }

        /** A state by torch's key. */
        public Tensor state(String key) {
            return Objects.requireNonNull(states.get(key), key);
        }

        /** The size of the first dimension. */
        public long rows() {
            return first;
        }

        /** The product of the others. */
        public long columns() {
            return first == 0 ? 0 : value().elements() / first;
        }

        /** The rows of the row-major matrix that lies in memory: the columns, if the parameter is in column-major order. */
        public long memoryRows() {
            return transposed ? columns() : rows();
        }

        /** And its columns. */
        public long memoryColumns() {
            return transposed ? rows() : columns();
        }
    }

    private final TiedParameters<Matrix> matrices = new TiedParameters<>();
    private List<Matrix> present = List.of();
    private @Nullable Memory memory;
    private boolean built;

    /** An optimizer of one group. */
    @SuppressWarnings("this-escape") // adding a group calls nothing that a subclass can override
    protected MatrixOptimizer(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema);
        addParamGroup(parameters, options);
    }

    /** Adds a group with options of its own. */
    public final void addParamGroup(List<Parameter> parameters, O options) {
        for (int i = 0; i < parameters.size(); i++) {
            Parameter parameter = parameters.get(i);
            long[] shape = parameter.value().shape();
            Check.check(shape.length >= 2, name(), name() + " only supports 2D parameters whereas we found a parameter with size: "
                    + Arrays.toString(shape) + " (those of more dimensions are flattened after the first one)");
            if (!Matrix.isMatrix(parameter.value())) {
                throw PanoptimException.unsupported(name(), "'" + Tied.name(parameter, i, paramGroups().size()) + "' is "
                        + parameter.value() + " with its first dimension between the others in memory: expected it to be the "
                        + "outermost or the innermost one");
            }
        }
        add(parameters, options);
    }

    /** The keys of the states, each of the parameter's shape and type, 0 before the first step. */
    protected abstract List<String> stateKeys();

    /**
     * Gets ready to step some matrices, when these are others than before or have other states; refuses what it cannot do.
     *
     * @param stepping those that have a gradient, none of them empty
     */
    protected abstract void build(List<Matrix> stepping);

    /** Some gradients lie elsewhere than before: by the places of their matrices in the list given to {@link #build}. */
    protected abstract void moved(Map<Integer, @Nullable Tensor> gradients);

    /** One step of the matrices last given to {@link #build}, all of whose memory is there. */
    protected abstract void stepMatrices();

    /** Frees what {@link #build} made; called again before the next one. */
    protected abstract void freePlans();

    /** Has the next step call {@link #build} anew. */
    protected final void replan() {
        built = false;
    }

    @Override
    protected final void added(ParamGroup group) {
        matrices.add(group, paramGroups().indexOf(group), (name, parameter, id) -> new Matrix(name, group, parameter, id));
    }

    @Override
    protected final void update() {
        synchronize();
        if (present.isEmpty()) {
            return;
        }
        for (Matrix matrix : present) {
            matrix.value().checkAccessible(name() + ".step", "'" + matrix.name + "'");
            matrix.gradient().checkAccessible(name() + ".step", "the gradient of '" + matrix.name + "'");
        }
        try {
            stepMatrices();
        } catch (PanoptimException failed) { // in one of several passes
            throw new PanoptimException(Code.FAULT, name() + ".step", failed.getMessage(), failed);
        }
    }

    /** Finds out what has a gradient, and where; does nothing when nothing has changed. */
    private void synchronize() {
        boolean others = !built;
        boolean moved = false;
        for (int i = 0; i < matrices.all().size(); i++) {
            Matrix matrix = matrices.all().get(i);
            Tensor gradient = coming(matrix);
            others |= (gradient == null) != (matrix.gradient == null);
            moved |= gradient != matrix.gradient;
        }
        if (others) {
            rebuild();
        } else if (moved) {
            move();
        }
    }

    /** The gradient that a matrix has now. */
    private @Nullable Tensor coming(Matrix matrix) {
        if (matrix.group.isFrozen()) {
            return null;
        }
        Tensor gradient = matrix.gradientNow(name());
        if (gradient == null && matrix.sparseGradientNow(name()) != null) {
            throw PanoptimException.unsupported(name() + ".step", name() + " does not support sparse gradients");
        }
        return gradient;
    }

    private void rebuild() {
        built = false;
        present = List.of();
        freePlans();
        matrices.all().forEach(matrix -> matrix.gradient = coming(matrix));
        List<Matrix> now = matrices.all().stream().filter(matrix -> matrix.gradient != null).toList();
        try {
            now.forEach(this::allocate);
            build(now.stream().filter(matrix -> matrix.value().elements() > 0).toList());
        } catch (RuntimeException | Error refused) {
            freePlans();
            throw refused;
        }
        present = now;
        built = true;
    }

    private void move() {
        Map<Integer, @Nullable Tensor> moves = new HashMap<>();
        int number = 0;
        for (Matrix matrix : present) {
            Tensor gradient = coming(matrix);
            if (matrix.value().elements() > 0) {
                if (gradient != matrix.gradient) {
                    moves.put(number, gradient);
                }
                number++;
            }
        }
        moved(moves);
        present.forEach(matrix -> matrix.gradient = coming(matrix));
    }

    private void allocate(Matrix matrix) {
        if (matrix.states.isEmpty()) {
            Map<String, Tensor> states = new LinkedHashMap<>();
            stateKeys().forEach(key -> states.put(key, memory().zerosLike(matrix.value())));
            matrix.states = states;
        }
    }

    private Memory memory() {
        if (memory == null) {
            memory = engine().memory();
        }
        return memory;
    }

    @Override
    protected final Map<String, Tensor> stateOf(Parameter parameter) {
        return new LinkedHashMap<>(matrices.of(this, parameter).states);
    }

    @Override
    public final long stateBytes() {
        return matrices.all().stream().mapToLong(matrix -> stateKeys().size() * matrix.value().bytes()).sum();
    }

    @Override
    final Runnable prepareState(StateDict loaded) {
        Memory fresh = engine().memory();
        try {
            Map<Matrix, Map<String, Tensor>> restored = matrices.restore(loaded, (matrix, saved) -> restore(matrix, saved, fresh));
            return () -> replace(fresh, restored);
        } catch (RuntimeException | Error refused) {
            fresh.close();
            throw refused;
        }
    }

    private Map<String, Tensor> restore(Matrix matrix, StateDict.Saved saved, Memory fresh) {
        Map<String, Tensor> states = new LinkedHashMap<>();
        for (String key : stateKeys()) {
            states.put(key, StateDict.copyLike(this, fresh, saved.tensor(key, matrix.value().shape()), matrix.value()));
        }
        saved.refuseUnknown(states.keySet());
        return states;
    }

    private void replace(Memory fresh, Map<Matrix, Map<String, Tensor>> restored) {
        built = false;
        freePlans();
        if (memory != null) {
            memory.close();
        }
        memory = fresh;
        matrices.all().forEach(matrix -> matrix.states = restored.getOrDefault(matrix, Map.of()));
    }

    @Override
    protected final void free() {
        freePlans();
        if (memory != null) {
            memory.close();
        }
    }
}
