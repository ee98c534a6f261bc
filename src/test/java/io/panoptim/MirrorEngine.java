package io.panoptim;

import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredStep;
import io.panoptim.engine.HostControl;
import io.panoptim.engine.HostEngine;
import io.panoptim.engine.HostProduct;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Parts;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The CUDA engine for tests that have their tensors in the CPU's memory: each tensor has a twin on the device, at the same place within
 * a line of memory, to which it is copied before every call and from which it is copied after it. Does not own the engine.
 */
public final class MirrorEngine extends HostEngine {
    private static final int ALL = -1;

    private final CudaEngine cuda;

    public MirrorEngine(CudaEngine cuda) {
        this.cuda = cuda;
    }

    @Override
    public String name() {
        return cuda.name();
    }

    @Override
    public String description() {
        return cuda.description();
    }

    @Override
    public void checkRule(Rule rule) {
        cuda.checkRule(rule);
    }

    @Override
    public Table table(Rule rule, List<TensorEntry> entries) {
        return new MirrorTable(this, rule, entries);
    }

    @Override
    public Table table(List<TensorEntry> entries) {
        return new MirrorTable(this, null, entries);
    }

    @Override
    protected boolean acceptsHeap() {
        return true;
    }

    @Override
    protected void decompose(Decomposition decomposition) {
        try (Memory memory = cuda.memory()) {
            Matrices m = decomposition.matrices();
            List<Tensor> there = m.tensors().stream().map(tensor -> twin(tensor, memory)).toList();
            Tensor eigenvalues = decomposition.eigenvalues() == null ? null : memory.zerosLike(decomposition.eigenvalues());
            cuda.decompose(new Decomposition(decomposition.kind(), new Matrices(there, m.offset(), m.count(), m.rows(), m.columns(), m.leading(),
                    m.stride()), eigenvalues), Stream.DEFAULT);
            for (int i = 0; i < there.size(); i++) {
                cuda.copy(there.get(i), m.tensors().get(i), Stream.DEFAULT);
            }
            if (eigenvalues != null && decomposition.eigenvalues() != null) {
                cuda.copy(eigenvalues, decomposition.eigenvalues(), Stream.DEFAULT);
            }
        }
    }

    @Override
    public FactoredStep factoredStep(List<Factored> tensors) {
        return new MirrorFactored(this, tensors);
    }

    private static final class MirrorFactored extends FactoredStep {
        private final CudaEngine cuda;
        private final Memory memory;
        private final Map<Tensor, Tensor> twins = new IdentityHashMap<>();
        private final FactoredStep twin;

        MirrorFactored(MirrorEngine engine, List<Factored> tensors) {
            super(engine, tensors, true);
            this.cuda = engine.cuda;
            this.memory = cuda.memory();
            this.twin = cuda.factoredStep(tensors.stream().map(tensor -> new Factored(tensor.name(), there(tensor.value()),
                    there(tensor.gradient()), there(tensor.rowAverage()), Objects.requireNonNull(there(tensor.columnAverage())),
                    there(tensor.average()))).toList());
        }

        private @Nullable Tensor there(@Nullable Tensor tensor) {
            return tensor == null ? null : twins.computeIfAbsent(tensor, memory::zerosLike);
        }

        @Override
        protected void step(List<Scalars> scalars, Stream stream) {
            checkAccessible();
            each((here, there) -> cuda.copy(here, there, stream));
            twin.run(scalars, stream);
            each((here, there) -> cuda.copy(there, here, stream));
        }

        private void each(java.util.function.BiConsumer<Tensor, Tensor> copy) {
            tensors().forEach(tensor -> tensor.tensors().forEach(memory -> copy.accept(memory, there(memory))));
        }

        @Override
        protected double lastRms(int tensor) {
            return twin.rms(tensor);
        }

        @Override
        protected void pointed(int tensor) {
            twin.gradients(Map.of(tensor, there(tensors().get(tensor).gradient())));
        }

        @Override
        protected void free() {
            twin.close();
            memory.close();
        }
    }

    /** A block on the device. */
    @Override
    public Control control() {
        return cuda.control();
    }

    @Override
    protected void checkControl(String call, Control control) {} // the CUDA engine does

    @Override
    protected void update(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream) {
        MirrorTable own = own(table);
        own.checkPresent();
        own.up(own::isPresent, ALL);
        cuda.step(own.twin, rows, control, extras, stream);
        own.down(own::isPresent, ALL);
    }

    @Override
    protected void update(Table table, Rows rows, @Nullable HostControl control, Extras extras) {
        throw new AssertionError("its blocks are not the CPU's");
    }

    @Override
    protected void measureGradients(List<Table> tables, Measurement measurement, Control control, Stream stream) {
        for (Table table : tables) {
            own(table).checkColumns("Engine.measure", 1 << Column.GRADIENT);
            own(table).up(tensor -> table.has(tensor, 1 << Column.GRADIENT), 1 << Column.GRADIENT);
        }
        cuda.measure(tables.stream().map(table -> own(table).twin).toList(), measurement, control, stream);
    }

    @Override
    protected void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows) {
        MirrorTable own = own(table);
        own.checkPresent();
        Touched touched = tensor -> own.isPresent(tensor) || gradients.stream().anyMatch(gradient -> gradient.tensor() == tensor);
        own.up(touched, ALL);
        try (Memory memory = cuda.memory()) {
            List<RowGradient> twins = new ArrayList<>();
            Map<Tensor, Tensor> moving = new HashMap<>();
            for (RowGradient gradient : gradients) {
                SparseGradient given = gradient.gradient();
                @Nullable Tensor moves = gradient.moving() == null ? null : twin(gradient.moving(), memory);
                if (moves != null) {
                    moving.put(moves, gradient.moving());
                }
                twins.add(new RowGradient(gradient.tensor(), gradient.scalarClass(),
                        new SparseGradient(twin(given.indices(), memory), twin(given.values(), memory)), gradient.negated(),
                        gradient.summed(), moves));
            }
            cuda.stepRows(own.twin, rule, twins, rows, null, Extras.NONE, Stream.DEFAULT);
            moving.forEach((twin, tensor) -> cuda.copy(twin, tensor, Stream.DEFAULT));
        }
        own.down(touched, ALL);
    }

    private Tensor twin(Tensor tensor, Memory memory) {
        Tensor twin = memory.zerosLike(tensor);
        cuda.copy(tensor, twin, Stream.DEFAULT);
        return twin;
    }

    @Override
    protected void mapColumns(Table table, MapOperation operation) {
        MirrorTable own = own(table);
        Touched touched = tensor -> own.has(tensor, operation.columns());
        own.checkColumns("Engine.map", operation.columns());
        own.up(touched, operation.columns());
        cuda.map(own.twin, operation, Stream.DEFAULT);
        own.down(touched, 1 << operation.target());
    }

    @Override
    protected Total reduceColumns(Table table, Reduction reduction) {
        MirrorTable own = own(table);
        own.checkColumns("Engine.reduce", reduction.columns());
        own.up(tensor -> own.has(tensor, reduction.columns()), reduction.columns());
        double value = Parts.of(cuda, own.twin, reduction, Stream.DEFAULT);
        return new Total(value, Double.isFinite(value));
    }

    @Override
    public MatrixProduct.Plan matrixProduct(MatrixProduct product) {
        return new MirrorProduct(this, product);
    }

    private static final class MirrorProduct extends HostProduct {
        private final CudaEngine cuda;
        private final Memory memory;
        private final Map<Tensor, Tensor> twins = new IdentityHashMap<>();
        private final MatrixProduct.Plan twin;

        MirrorProduct(MirrorEngine engine, MatrixProduct product) {
            super(engine, product, true);
            this.cuda = engine.cuda;
            this.memory = cuda.memory();
            try {
                this.twin = cuda.matrixProduct(new MatrixProduct(there(product.a()), product.transposeA(), there(product.b()),
                        product.transposeB(), there(product.c()), there(product.d()), product.symmetric(), product.tf32()));
            } catch (PanoptimException refused) {
                memory.close();
                throw refused;
            }
        }

        private Matrices there(Matrices m) {
            return new Matrices(m.tensors().stream().map(tensor -> twins.computeIfAbsent(tensor, memory::zerosLike)).toList(), m.offset(),
                    m.count(), m.rows(), m.columns(), m.leading(), m.stride());
        }

        @Override
        protected void multiply(double alpha, double beta, double gamma) {
            checkAccessible();
            twins.forEach((tensor, there) -> cuda.copy(tensor, there, Stream.DEFAULT));
            twin.run(alpha, beta, gamma, Stream.DEFAULT);
            product().d().tensors().forEach(tensor -> cuda.copy(twins.get(tensor), tensor, Stream.DEFAULT));
        }

        @Override
        protected void free() {
            twin.close();
            memory.close();
        }
    }

    private static MirrorTable own(Table table) {
        if (table instanceof MirrorTable own) {
            return own;
        }
        throw PanoptimException.invalid("Engine", "the table was built by another engine");
    }

    private interface Touched {
        boolean test(int tensor);
    }

    private static final class MirrorTable extends Table {
        private final CudaEngine cuda;
        private final Memory memory;
        private final Map<Tensor, Tensor> twins = new IdentityHashMap<>();
        private final Table twin;

        MirrorTable(MirrorEngine engine, @Nullable Rule rule, List<TensorEntry> entries) {
            super(engine, false, rule, entries);
            this.cuda = engine.cuda;
            this.memory = cuda.memory();
            List<TensorEntry> there = entries.stream().map(this::mirrored).toList();
            try {
                this.twin = rule == null ? cuda.table(there) : cuda.table(rule, there);
            } catch (PanoptimException refused) {
                memory.close();
                throw refused;
            }
        }

        private TensorEntry mirrored(TensorEntry entry) {
            Map<Integer, Tensor> others = new HashMap<>();
            entry.others().forEach((column, tensor) -> others.put(column, there(tensor)));
            return new TensorEntry(entry.name(), there(entry.value()), entry.gradient() == null ? null : there(entry.gradient()),
                    entry.states().stream().map(this::there).toList(), others, entry.origin(), entry.begin(), entry.end(), entry.id(),
                    entry.rows(), entry.codes());
        }

        private Tensor there(Tensor tensor) {
            return twins.computeIfAbsent(tensor, memory::zerosLike);
        }

        boolean isPresent(int tensor) {
            return classOf(tensor) != ABSENT;
        }

        void checkPresent() {
            checkAccessible("Engine.step");
        }

        void checkColumns(String call, int columns) {
            checkColumnsAccessible(call, columns);
        }

        void up(Touched touched, int columns) {
            each(touched, columns, tensor -> cuda.copy(tensor, there(tensor), Stream.DEFAULT));
        }

        void down(Touched touched, int columns) {
            each(touched, columns, tensor -> cuda.copy(there(tensor), tensor, Stream.DEFAULT));
        }

        private void each(Touched touched, int columns, java.util.function.Consumer<Tensor> action) {
            for (int i = 0; i < size(); i++) {
                for (int column = 0; column < Column.COUNT && touched.test(i); column++) {
                    Tensor tensor = tensor(i, column);
                    if (tensor != null && (columns >> column & 1) != 0) {
                        action.accept(tensor);
                    }
                }
            }
        }

        @Override
        public double[] statistics() {
            return twin.statistics();
        }

        @Override
        protected void pointed(int tensor, int column) {
            Tensor moved = tensor(tensor, column);
            twin.point(column, Collections.singletonMap(tensor, moved == null ? null : there(moved)));
        }

        @Override
        protected void classesChanged() {
            Objects.requireNonNull(twin).classes(IntStream.range(0, size()).map(this::classOf).toArray());
        }

        @Override
        protected void free() {
            twin.close();
            memory.close();
        }
    }
}
