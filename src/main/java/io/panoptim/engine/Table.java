package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.RuleSums.Over;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Some tensors that one rule updates together, or that have columns to map and reduce. The topology (which tensors, of which types,
 * with which state slots) is validated here, once, and never changes; addresses and classes may, between steps.
 *
 * <p>Engines extend this class with what they need to run it.
 */
public abstract class Table implements AutoCloseable {
    /** The class of a tensor that has no gradient in this step. */
    public static final int ABSENT = -1;

    private static final int ALL_COLUMNS = -1;
    private static final AtomicLong EPOCHS = new AtomicLong();

    private final Engine engine;
    private final Device device;
    private final Reach reach;
    private final @Nullable Rule rule;
    private final List<TensorEntry> entries;
    private final @Nullable SumPlan sums;
    /** The name of a tensor that is cut within a leaf, or null. */
    private final @Nullable String cut;
    private final @Nullable Tensor[][] columns;
    /** One tensor of each arena, or owner of a device's memory; null where places have changed. */
    private @Nullable List<Tensor> owned;
    private final int[] classes;
    private final Spans spans = new Spans();
    private final long epoch = EPOCHS.incrementAndGet();
    private final AtomicBoolean busy = new AtomicBoolean();
    private boolean closed;
    private int classCount;

    /**
     * Validates a topology.
     *
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     * @param rule null for a table that no step is for
     * @throws PanoptimException naming the tensor and what is wrong with it
     */
    protected Table(Engine engine, boolean acceptsHeap, @Nullable Rule rule, List<TensorEntry> entries) {
        this.engine = engine;
        this.device = engine.device();
        this.reach = new Reach(engine, acceptsHeap);
        this.rule = rule;
        this.entries = List.copyOf(entries);
        this.cut = entries.stream().filter(entry -> (entry.origin() + entry.begin()) % ChunkPlan.LEAF != 0).map(TensorEntry::name).findFirst()
                .orElse(null);
        this.columns = new Tensor[entries.size()][Column.COUNT];
        this.sums = rule == null || rule.sums() == null ? null : SumPlan.of(rule.sums(), this.entries);
        this.classes = new int[entries.size()];
        Arrays.fill(classes, ABSENT);
        for (int i = 0; i < entries.size(); i++) {
            int index = i;
            TensorEntry entry = entries.get(i);
            checkSlots(rule, entry);
            checkRows(entry);
            checkCodes(entry);
            take(i, Column.VALUE, entry.value());
            if (entry.gradient() != null) {
                take(i, Column.GRADIENT, entry.gradient());
            }
            for (int slot = 0; slot < entry.states().size(); slot++) {
                take(i, Column.STATE + slot, entry.states().get(slot));
            }
            entry.others().forEach((column, tensor) -> {
                checkOther(entry, column);
                take(index, column, tensor);
            });
        }
    }

    /** The rule that the tensors are updated by; null where they are not. */
    public final @Nullable Rule rule() {
        return rule;
    }

    /** Where the sums that the rule takes before its update lie, or null. */
    public final @Nullable SumPlan sums() {
        return sums;
    }

    /** The number of tensors. */
    public final int size() {
        return entries.size();
    }

    public final TensorEntry entry(int tensor) {
        return entries.get(tensor);
    }

    /** What lies in a column of a tensor now, or null. */
    public final @Nullable Tensor tensor(int tensor, int column) {
        return columns[tensor][column];
    }

    /** How many state slots of a tensor have a value for each element. */
    public final int slots(int tensor) {
        return entries.get(tensor).slots(rule);
    }

    /** The row of a tensor in this step, or {@link #ABSENT}. */
    public final int classOf(int tensor) {
        return classes[tensor];
    }

    /** The number of classes in use: a step needs as many rows. */
    public final int classCount() {
        return classCount;
    }

    /** That of all its tensors, which must be of one compute type. */
    final Arithmetic arithmetic(String call) {
        Arithmetic arithmetic = Arithmetic.FLOAT32;
        for (int i = 0; i < size(); i++) {
            Arithmetic own = Arithmetic.of(entries.get(i).value().dtype().computeType());
            if (i > 0 && own != arithmetic) {
                throw PanoptimException.invalid(call, "the table has float64 tensors and others: build one of each");
            }
            arithmetic = own;
        }
        return arithmetic;
    }

    /** Different for every table built in this process. */
    public final long epoch() {
        return epoch;
    }

    /**
     * Says which tensors the next steps update, and with which rows.
     *
     * @param newClasses for each tensor its row, or {@link #ABSENT}
     */
    public final void classes(int[] newClasses) {
        enter("Table.classes");
        try {
            if (newClasses.length != size()) {
                throw PanoptimException.invalid("Table.classes", newClasses.length + " classes for " + size() + " tensors");
            }
            for (int i = 0; i < size(); i++) {
                if (newClasses[i] < ABSENT) {
                    throw PanoptimException.invalid("Table.classes", newClasses[i] + " is no class");
                }
                if (newClasses[i] != ABSENT && columns[i][Column.GRADIENT] == null) {
                    throw PanoptimException.invalid("Table.classes", "'" + entries.get(i).name()
                            + "' has no gradient to step with");
                }
            }
            System.arraycopy(newClasses, 0, classes, 0, size());
            countClasses();
            classesChanged();
        } finally {
            exit();
        }
    }

    /**
     * Points one column of some tensors elsewhere; nothing changes if any of them is refused. A tensor whose gradient is
     * taken away becomes absent.
     *
     * @param column the gradient, or one that the tensors have
     * @param moved for each tensor that moved its new place, or null for none; only gradients may be taken away
     */
    public final void point(int column, Map<Integer, ? extends @Nullable Tensor> moved) {
        enter("Table.point");
        try {
            moved.forEach((index, tensor) -> checkMove(index, column, tensor));
            Map<Integer, @Nullable Tensor> before = new HashMap<>();
            List<Integer> taken = new ArrayList<>();
            moved.keySet().forEach(index -> before.put(index, release(index, column)));
            try {
                for (Map.Entry<Integer, ? extends @Nullable Tensor> move : moved.entrySet()) {
                    if (move.getValue() != null) {
                        take(move.getKey(), column, move.getValue());
                        taken.add(move.getKey());
                    }
                }
            } catch (PanoptimException refused) {
                taken.forEach(index -> release(index, column));
                before.forEach((index, tensor) -> restore(index, column, tensor));
                throw refused;
            }
            moved.forEach((index, tensor) -> {
                classes[index] = tensor == null ? ABSENT : classes[index];
                pointed(index, column);
            });
            if (moved.values().stream().anyMatch(Objects::isNull)) {
                countClasses();
                classesChanged();
            }
        } finally {
            exit();
        }
    }

    private void checkMove(int index, int column, @Nullable Tensor tensor) {
        if (index < 0 || index >= size() || column < 0 || column >= Column.COUNT
                || column != Column.GRADIENT && columns[index][column] == null) {
            throw PanoptimException.invalid("Table.point", "there is no " + Column.name(column) + " of a tensor " + index + " in "
                    + "this topology of " + size() + " tensors: build another table");
        }
        if (tensor == null && column != Column.GRADIENT) {
            throw PanoptimException.invalid("Table.point", "'" + entries.get(index).name() + "' needs its " + Column.name(column));
        }
        if (tensor != null && column == Column.GRADIENT && columns[index][column] == null) {
            checkTensor("Table.point", index, ALL_COLUMNS);
        }
    }

    private void countClasses() {
        classCount = Arrays.stream(classes).max().orElse(ABSENT) + 1;
    }

    /** Called when addresses of a column have changed. */
    protected abstract void pointed(int tensor, int column);

    /** Called when classes have changed. */
    protected abstract void classesChanged();

    /** Takes the table for the duration of a call, or refuses. */
    protected final void enter(String call) {
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, call, "another thread is using this table: use it from one thread at a "
                    + "time");
        }
        if (closed) {
            busy.set(false);
            throw new PanoptimException(Code.CLOSED, call, "the table is closed");
        }
    }

    protected final void exit() {
        busy.set(false);
    }

    /** Refuses when the memory of a present tensor is closed, or another thread's; in no time when it is not. */
    public final void checkAccessible(String call) {
        List<Tensor> known = owned == null ? owned = owned() : owned;
        for (int i = 0; i < known.size(); i++) {
            if (!known.get(i).isAccessible()) {
                checkPresent(call); // it may be one of those that are absent
                return;
            }
        }
    }

    private List<Tensor> owned() {
        Map<Object, Tensor> byOwner = new IdentityHashMap<>();
        for (Tensor[] ofEntry : columns) {
            for (Tensor tensor : ofEntry) {
                if (tensor != null) {
                    byOwner.putIfAbsent(tensor.device().kind() == Device.Kind.CPU ? tensor.segment().scope() : tensor.owner(), tensor);
                }
            }
        }
        return List.copyOf(byOwner.values());
    }

    private void checkPresent(String call) {
        for (int i = 0; i < size(); i++) {
            if (classes[i] != ABSENT) {
                checkTensor(call, i, ALL_COLUMNS);
            }
        }
    }

    /** The same for some columns, by bit, in the tensors that have all of them. */
    protected final void checkColumnsAccessible(String call, int columnBits) {
        for (int i = 0; i < size(); i++) {
            if (has(i, columnBits)) {
                checkTensor(call, i, columnBits);
            }
        }
    }

    private void checkTensor(String call, int index, int columnBits) {
        for (int column = 0; column < Column.COUNT; column++) {
            Tensor tensor = columns[index][column];
            if (tensor != null && (columnBits >> column & 1) != 0 && !tensor.isAccessible()) {
                tensor.checkAccessible(call, label(index, column)); // of which there is a text only now
            }
        }
    }

    /** Whether a tensor has all of some columns, by bit. */
    public final boolean has(int tensor, int columnBits) {
        for (int column = 0; column < Column.COUNT; column++) {
            if ((columnBits >> column & 1) != 0 && columns[tensor][column] == null) {
                return false;
            }
        }
        return true;
    }

    /** Refuses columns, by bit, that in some tensor are no numbers, or one for many elements. */
    final void checkNumbers(String call, int columnBits) {
        for (int i = 0; i < size(); i++) {
            for (int column = 0; column < Column.COUNT; column++) {
                Tensor tensor = columns[i][column];
                if ((columnBits >> column & 1) != 0 && tensor != null && !tensor.dtype().isFloatingPoint()) {
                    throw PanoptimException.unsupported(call, label(i, column) + " is " + tensor.dtype() + ", not numbers to be computed with");
                }
            }
        }
        for (int column = Column.STATE; column < Column.SCALE && rule != null; column++) {
            for (int i = 0; (columnBits >> column & 1) != 0 && i < size(); i++) {
                if (isShared(entries.get(i), column)) {
                    throw PanoptimException.invalid(call, label(i, column) + " is shared by its elements");
                }
            }
        }
    }

    /** Refuses slices that cut leaves: what is reduced over them would not be the same as over the whole. */
    final void checkWholeLeaves(String call) {
        if (cut != null) {
            throw PanoptimException.invalid(call, "'" + cut + "' is cut within a leaf: slices must be cut at multiples of "
                    + ChunkPlan.LEAF + " elements of the whole tensor");
        }
    }

    /** Refuses statistics over tensors that are cut within a leaf, or taken apart into rows. */
    final void checkStatistics(String call) {
        checkWholeLeaves(call);
        if (over() == Over.ROW) {
            throw PanoptimException.unsupported(call, rule + " takes sums over rows: there are no statistics of its steps");
        }
    }

    /**
     * What the last step with {@link Extras.Part#STATISTICS} added up, for each class in turn: the squares of its gradients, as the
     * update used them, of the changes of its values, and of its values. Waits for the device.
     *
     * @throws PanoptimException where there was none
     */
    public double[] statistics() {
        throw PanoptimException.unsupported("Table.statistics", "the " + engine.name() + " engine has no statistics yet");
    }

    /** Refuses a step that takes sums over tensors that are cut within a leaf. */
    final void checkSums(String call, Rows rows) {
        if (rule == null || rule.sums() == null || sums == null || sums.cut() == null) {
            return;
        }
        if (rule.sums().isAskedByAny(rows, classCount)) {
            throw PanoptimException.invalid(call, sums.cut());
        }
    }

    /** Refuses sparse gradients that cannot be used; what their indices are is not looked at. */
    final void checkSparse(String call, Rule rowRule, List<RowGradient> gradients, Rows rows) {
        RuleSums own = rule.sums();
        boolean always = own != null && own.flag() == 0; // what is summed up on a condition is not where a gradient is sparse
        if (always || rowRule.sums() != null) {
            throw PanoptimException.unsupported(call, (always ? rule : rowRule) + " takes sums over whole tensors: it has no "
                    + "sparse gradients");
        }
        Set<Integer> seen = new HashSet<>();
        for (RowGradient gradient : gradients) {
            int tensor = gradient.tensor();
            if (tensor < 0 || tensor >= size() || !seen.add(tensor) || classes[tensor] != ABSENT) {
                throw PanoptimException.invalid(call, "a sparse gradient is of tensor " + tensor + ": expected one of " + size()
                        + " that has no other gradient in this step");
            }
            if (gradient.scalarClass() < 0 || gradient.scalarClass() >= rows.count()) {
                throw PanoptimException.invalid(call, "class " + gradient.scalarClass() + " of " + rows.count() + " rows");
            }
            if (rows.keep(gradient.scalarClass()) != 1) {
                throw PanoptimException.unsupported(call, "values do not decay in some rows only, and class "
                        + gradient.scalarClass() + " keeps " + rows.keep(gradient.scalarClass()));
            }
            TensorEntry entry = entries.get(tensor);
            checkSlots(rowRule, entry);
            if (!entry.codes().isEmpty() || columns[tensor][Column.MASTER] != null || columns[tensor][Column.COMPENSATION] != null) {
                throw PanoptimException.unsupported(call, "'" + entry.name() + "' has quantised states, or something beside its value: "
                        + "there are no steps over some of its rows");
            }
            String label = "the sparse gradient of '" + entry.name() + "'";
            if (entry.begin() != 0 || entry.end() != entry.value().elements()) {
                throw PanoptimException.unsupported(call, label + ": only a range of this tensor is stepped");
            }
            gradient.gradient().checkFits(call + " '" + entry.name() + "'", entry.value());
            checkTensor(call, tensor, ALL_COLUMNS);
            checkRead(call, label + " (its indices)", gradient.gradient().indices());
            checkRead(call, label + " (its values)", gradient.gradient().values());
            if (gradient.moving() != null) {
                checkMoving(call, label, gradient.moving(), RowGradient.words(entry.value().shape()[0]));
            }
        }
    }

    private void checkMoving(String call, String label, Tensor moving, long words) {
        if (moving.dtype() != DType.INT64 || moving.elements() != words) {
            throw PanoptimException.invalid(call, label + ": the moving rows are " + moving + ": expected " + words + " int64s");
        }
        checkRead(call, label + " (its moving rows)", moving);
        if (device.kind() == Device.Kind.CPU && moving.segment().isReadOnly()) {
            throw PanoptimException.invalid(call, label + ": the moving rows lie in a read-only segment");
        }
    }

    /** What a step uses besides the columns; several tensors may share it. */
    private void checkRead(String call, Object label, Tensor tensor) {
        if (!tensor.device().equals(device)) {
            throw PanoptimException.invalid(call, label + " lies on " + tensor.device() + ", but the " + engine.name()
                    + " engine works on " + device);
        }
        tensor.checkAccessible(call, label);
        reach.checkAddress(call, label, tensor);
        spans.under(tensor).ifPresent(other -> {
            throw PanoptimException.invalid(call, label + " overlaps " + other + ": each needs memory of its own");
        });
    }

    /** Closes the table, not its tensors; idempotent. */
    @Override
    public final void close() {
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, "Table.close", "a step is running");
        }
        try {
            if (!closed) {
                closed = true;
                free();
            }
        } finally {
            busy.set(false);
        }
    }

    /** Frees what the engine attached; called once. */
    protected abstract void free();

    private void take(int index, int column, Tensor tensor) {
        check(entries.get(index), column, tensor);
        boolean everyTensors = isShared(entries.get(index), column) && over() == Over.GLOBAL;
        if (!everyTensors || index == 0 || columns[0][column] != tensor) {
            spans.take("Table", tensor, label(index, column));
        }
        columns[index][column] = tensor;
        owned = null;
    }

    private void restore(int index, int column, @Nullable Tensor tensor) {
        if (tensor != null) {
            spans.add(tensor, label(index, column));
            columns[index][column] = tensor;
            owned = null;
        }
    }

    private @Nullable Tensor release(int index, int column) {
        Tensor tensor = columns[index][column];
        if (tensor != null) {
            spans.remove(tensor);
            columns[index][column] = null;
            owned = null;
        }
        return tensor;
    }

    private static void checkSlots(@Nullable Rule rule, TensorEntry entry) {
        int slots = entry.slots(rule);
        if (rule == null) {
            if (slots > Column.MAX_STATES) {
                throw invalid("'" + entry.name() + "'", "has " + slots + " states: at most " + Column.MAX_STATES + " are possible");
            }
        } else if (slots < rule.minSlots() || slots > rule.states().size()) {
            throw invalid("'" + entry.name() + "'", "has " + entry.states().size() + " states, " + rule + " takes "
                    + rule.states() + (rule.sharedStates().isEmpty() ? "" : " and " + rule.sharedStates()));
        }
    }

    private void checkOther(TensorEntry entry, int column) {
        if (column < Column.SCALE || column >= Column.COUNT) {
            throw invalid(label(entry, column), "is not one of the other columns");
        }
        if (column < Column.SCALE + Column.MAX_STATES && !entry.codes().containsKey(column - Column.SCALE)) {
            throw invalid(label(entry, column), "are there, but the state is not quantised");
        }
        DType value = entry.value().dtype();
        DType type = Objects.requireNonNull(entry.others().get(column)).dtype();
        boolean remainder = type == DType.INT16 && value == DType.BFLOAT16;
        if (rule != null && column == Column.MASTER && !remainder && (type != DType.FLOAT32 || !isHalf(value))) {
            throw invalid(label(entry, column), "is " + type + ", the value " + value
                    + ": a float32 master is for a value of a half type, an int16 one for bfloat16");
        }
        if (rule != null && column == Column.COMPENSATION && (type != value || !isHalf(value))) {
            throw invalid(label(entry, column), "is " + type + ", the value " + value
                    + ": a compensation is for a value of a half type, of which it is, too");
        }
        if (rule != null && column == Column.COMPENSATION && entry.others().containsKey(Column.MASTER)) {
            throw invalid(label(entry, column), "is there besides a master, which has nothing to make up for");
        }
    }

    private static boolean isHalf(DType dtype) {
        return dtype == DType.BFLOAT16 || dtype == DType.FLOAT16;
    }

    private void checkCodes(TensorEntry entry) {
        entry.codes().forEach((slot, code) -> {
            Label label = label(entry, Column.STATE + slot);
            if (rule == null || slot < 0 || slot >= entry.slots(rule)) {
                throw invalid(label, "is quantised, but the rule has no such state of elements");
            }
            if (over() == Over.ROW) {
                throw PanoptimException.unsupported("Table", label + " is quantised, and " + rule + " takes sums over rows, which its "
                        + "blocks do not follow: quantise the states of other rules");
            }
            if (!rule.isQuantizable(slot)) {
                throw PanoptimException.unsupported("Table", label + " is quantised, which '" + rule.states().get(slot) + "' of " + rule
                        + " cannot be");
            }
            if (entry.value().dtype().computeType() != DType.FLOAT32) {
                throw PanoptimException.unsupported("Table", label + " is quantised, which goes with values that are computed with in "
                        + "float32, and not with " + entry.value().dtype());
            }
            if (!entry.others().containsKey(Column.SCALE + slot)) {
                throw invalid(label, "is quantised, and has no scales");
            }
            if (entry.begin() % StateCode.BLOCK != 0
                    || entry.end() % StateCode.BLOCK != 0 && entry.end() != entry.value().elements()
                    || entry.origin() % StateCode.BLOCK != 0) {
                throw invalid(label, "is quantised in blocks of " + StateCode.BLOCK + " elements, which the range [" + entry.begin() + ", "
                        + entry.end() + ") from origin " + entry.origin() + " cuts");
            }
        });
    }

    /** Refuses copies that cannot be rounded stochastically. */
    final void checkStochasticCopy(String call) {
        for (int i = 0; i < size(); i++) {
            Tensor copy = columns[i][Column.COPY];
            if (copy != null && copy.dtype() != DType.BFLOAT16) {
                throw PanoptimException.unsupported(call, label(i, Column.COPY) + " is " + copy.dtype() + ": only to bfloat16 is a copy "
                        + "rounded stochastically");
            }
        }
    }

    private void checkRows(TensorEntry entry) {
        if (over() == Over.ROW && entry.rows() > 1 && !entry.value().isRowMajor()) {
            throw invalid(label(entry, Column.VALUE), "is not in row-major order, and " + rule + " takes sums over each row");
        }
    }

    private @Nullable Over over() {
        return rule == null || rule.sums() == null ? null : rule.sums().over();
    }

    /** Whether a column holds the states that elements share. */
    private boolean isShared(TensorEntry entry, int column) {
        return column >= Column.STATE + entry.slots(rule) && column < Column.STATE + entry.states().size();
    }

    private void check(TensorEntry entry, int column, Tensor tensor) {
        Label label = label(entry, column);
        Tensor value = entry.value();
        reach.checkDevice("Table", label, tensor.device());
        if (isShared(entry, column)) {
            checkShared(entry, label, tensor);
            return;
        }
        if (column >= Column.SCALE && column < Column.SCALE + Column.MAX_STATES) {
            StateCode code = entry.code(Column.STATE + column - Column.SCALE);
            long blocks = code.blocks(value.elements());
            if (tensor.elements() != blocks || tensor.dtype() != DType.FLOAT32 && tensor.dtype() != DType.BFLOAT16) {
                throw invalid(label, "are " + tensor + ": expected " + blocks + " of type float32 or bfloat16, one for each "
                        + code.block() + " elements");
            }
            checkMemory(entry, label, tensor);
            return;
        }
        StateCode code = entry.code(column);
        if (code != null && code.isPacked()) {
            long bytes = code.bytes(value.elements());
            if (tensor.dtype() != DType.UINT8 || tensor.shape().length != 1 || tensor.elements() != bytes || !tensor.isRowMajor()) {
                throw invalid(label, "is " + tensor + ": expected " + bytes + " bytes, of two codes each, in one dimension");
            }
            checkMemory(entry, label, tensor);
            return;
        }
        if (!tensor.sameLayout(value)) {
            throw invalid(label, "is " + tensor + ", the value " + value + ": shapes and layouts must be equal");
        }
        DType compute = value.dtype().computeType();
        boolean coded = code != null && tensor.dtype() == DType.UINT8;
        boolean remainder = rule != null && column == Column.MASTER && tensor.dtype() == DType.INT16;
        boolean numbers = tensor.dtype().isFloatingPoint() && tensor.dtype().computeType() == compute && code == null;
        if (!numbers && !coded && !remainder) {
            throw PanoptimException.unsupported("Table", label + " is " + tensor.dtype() + ", which this version does not combine "
                    + "with a value of " + value.dtype());
        }
        checkMemory(entry, label, tensor);
    }

    private void checkShared(TensorEntry entry, Label label, Tensor tensor) {
        long elements = rule.sharedStates().size() * (over() == Over.ROW ? entry.rows() : 1);
        if (tensor.dtype() != DType.FLOAT64 || tensor.elements() != elements) {
            throw invalid(label, "is " + tensor + ": expected " + elements + " of type float64, whatever the value's type");
        }
        checkMemory(entry, label, tensor);
    }

    private void checkMemory(TensorEntry entry, Label label, Tensor tensor) {
        if (entry.gradient() != null || rule == null) { // a step does not touch the rest without one
            tensor.checkAccessible("Table", label);
        }
        if (device.kind() == Device.Kind.CPU && tensor.segment().isReadOnly()) {
            throw invalid(label, "lies in a read-only segment: "
                    + (rule == null ? "any column may be written" : "a step writes values and states, and zeroes gradients when asked"));
        }
        reach.checkAddress("Table", label, tensor);
    }

    private Label label(int index, int column) {
        return label(entries.get(index), column);
    }

    private static Label label(TensorEntry entry, int column) {
        return new Label(entry, column);
    }

    /** What a tensor is, of which a text is made only for a message. */
    private record Label(TensorEntry entry, int column) {
        @Override
        public String toString() {
            return "the " + Column.name(column) + " of '" + entry.name() + "'";
        }
    }

    private static PanoptimException invalid(Object label, String message) {
        return PanoptimException.invalid("Table", label + " " + message);
    }
}
