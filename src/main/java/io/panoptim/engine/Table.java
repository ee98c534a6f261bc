package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Some tensors that one rule updates together. The topology (which tensors, of which types, with which state slots) is
 * validated here, once, and never changes; addresses and classes may, between steps.
 *
 * <p>Engines extend this class with what they need to run it.
 */
public abstract class Table implements AutoCloseable {
    /** The class of a tensor that has no gradient in this step. */
    public static final int ABSENT = -1;

    private static final AtomicLong EPOCHS = new AtomicLong();

    private final String engine;
    private final Device device;
    private final boolean acceptsHeap;
    private final Rule rule;
    private final List<TensorEntry> entries;
    private final @Nullable Tensor[][] columns;
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
     * @throws PanoptimException naming the tensor and what is wrong with it
     */
    protected Table(Engine engine, boolean acceptsHeap, Rule rule, List<TensorEntry> entries) {
        this.engine = engine.name();
        this.device = engine.device();
        this.acceptsHeap = acceptsHeap;
        this.rule = rule;
        this.entries = List.copyOf(entries);
        this.columns = new Tensor[entries.size()][Column.COUNT];
        this.classes = new int[entries.size()];
        Arrays.fill(classes, ABSENT);
        for (int i = 0; i < entries.size(); i++) {
            TensorEntry entry = entries.get(i);
            checkSlots(entry);
            take(i, Column.VALUE, entry.value());
            if (entry.gradient() != null) {
                take(i, Column.GRADIENT, entry.gradient());
            }
            for (int slot = 0; slot < entry.states().size(); slot++) {
                take(i, Column.STATE + slot, entry.states().get(slot));
            }
            for (int column : entry.others().keySet()) {
                throw PanoptimException.unsupported("Table", "the " + this.engine + " engine does not have "
                        + label(entry, column) + " yet");
            }
        }
    }

    public final Rule rule() {
        return rule;
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

    /** The row of a tensor in this step, or {@link #ABSENT}. */
    public final int classOf(int tensor) {
        return classes[tensor];
    }

    /** The number of classes in use: a step needs as many rows. */
    public final int classCount() {
        return classCount;
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
        if (newClasses.length != size()) {
            throw PanoptimException.invalid("Table.classes", newClasses.length + " classes for " + size() + " tensors");
        }
        for (int i = 0; i < size(); i++) {
            if (newClasses[i] != ABSENT && columns[i][Column.GRADIENT] == null) {
                throw PanoptimException.invalid("Table.classes", "'" + entries.get(i).name() + "' has no gradient to step with");
            }
        }
        System.arraycopy(newClasses, 0, classes, 0, size());
        classCount = Arrays.stream(classes).max().orElse(ABSENT) + 1;
        classesChanged();
    }

    /**
     * Points one column of some tensors elsewhere; nothing changes if any of them is refused.
     *
     * @param moved for each tensor that moved its new place, or null for none; only gradients may be taken away
     */
    public final void point(int column, Map<Integer, @Nullable Tensor> moved) {
        List<Integer> taken = new ArrayList<>();
        Map<Integer, @Nullable Tensor> before = new HashMap<>();
        moved.keySet().forEach(tensor -> before.put(tensor, release(tensor, column)));
        try {
            for (Map.Entry<Integer, @Nullable Tensor> move : moved.entrySet()) {
                Tensor tensor = move.getValue();
                if (tensor == null && column != Column.GRADIENT) {
                    throw PanoptimException.invalid("Table.point", "'" + entries.get(move.getKey()).name() + "' needs its "
                            + Column.name(column));
                }
                if (tensor != null) {
                    take(move.getKey(), column, tensor);
                    taken.add(move.getKey());
                }
            }
        } catch (PanoptimException refused) {
            taken.forEach(tensor -> release(tensor, column));
            before.forEach((tensor, old) -> {
                if (old != null) {
                    spans.add(old, label(tensor, column));
                    columns[tensor][column] = old;
                }
            });
            throw refused;
        }
        moved.keySet().forEach(tensor -> pointed(tensor, column));
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

    /** Refuses when the memory of a present tensor is closed, or another thread's. */
    protected final void checkAccessible(String call) {
        for (int i = 0; i < size(); i++) {
            for (int column = 0; classes[i] != ABSENT && column < Column.COUNT; column++) {
                Tensor tensor = columns[i][column];
                if (tensor != null && device.kind() == Device.Kind.CPU) {
                    checkAccessible(call, label(i, column), tensor.segment());
                }
            }
        }
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
        Optional<String> other = spans.add(tensor, label(index, column));
        if (other.isPresent()) {
            throw invalid(label(index, column), "overlaps " + other.get()
                    + ": each needs memory of its own (the same segment given as two parameters is one, tied, parameter)");
        }
        columns[index][column] = tensor;
    }

    private @Nullable Tensor release(int index, int column) {
        Tensor tensor = columns[index][column];
        if (tensor != null) {
            spans.remove(tensor);
            columns[index][column] = null;
        }
        return tensor;
    }

    private void checkSlots(TensorEntry entry) {
        int slots = entry.states().size();
        if (slots < rule.minSlots() || slots > rule.states().size()) {
            throw invalid("'" + entry.name() + "'", "has " + slots + " states, " + rule + " takes " + rule.states());
        }
    }

    private void check(TensorEntry entry, int column, Tensor tensor) {
        String label = label(entry, column);
        Tensor value = entry.value();
        if (!tensor.device().equals(device)) {
            throw invalid(label, "lies on " + tensor.device() + ", but the " + engine + " engine works on " + device
                    + ": copy it there, or choose that device's engine");
        }
        if (!tensor.sameLayout(value)) {
            throw invalid(label, "is " + tensor + ", the value " + value + ": shapes and layouts must be equal");
        }
        DType compute = value.dtype().computeType();
        if (!tensor.dtype().isFloatingPoint() || tensor.dtype().computeType() != compute) {
            throw invalid(label, "is " + tensor.dtype() + ", which cannot be combined with a value of " + value.dtype());
        }
        if (device.kind() == Device.Kind.CPU) {
            checkSegment(label, tensor);
        }
    }

    private void checkSegment(String label, Tensor tensor) {
        MemorySegment segment = tensor.segment();
        checkAccessible("Table", label, segment);
        if (segment.isReadOnly()) {
            throw invalid(label, "lies in a read-only segment: a step writes there");
        }
        if (!segment.isNative() && !acceptsHeap) {
            throw invalid(label, "lies on the Java heap, where the " + engine + " engine cannot reach it: allocate it from an "
                    + "Arena, or use the reference engine");
        }
        if (segment.isNative() && segment.address() % tensor.dtype().bytes() != 0) {
            throw invalid(label, "begins at an address that is not a multiple of its element size, " + tensor.dtype().bytes()
                    + " bytes: copy it to aligned memory");
        }
    }

    private void checkAccessible(String call, String label, MemorySegment segment) {
        if (!segment.scope().isAlive()) {
            throw new PanoptimException(Code.CLOSED, call, label + " lies in an arena that was closed: keep the arena open as "
                    + "long as the optimizer uses it");
        }
        if (!segment.isAccessibleBy(Thread.currentThread())) {
            throw new PanoptimException(Code.CONCURRENT, call, label + " is confined to another thread: allocate it from a "
                    + "shared arena");
        }
    }

    private String label(int index, int column) {
        return label(entries.get(index), column);
    }

    private static String label(TensorEntry entry, int column) {
        return "the " + Column.name(column) + " of '" + entry.name() + "'";
    }

    private static PanoptimException invalid(String label, String message) {
        return PanoptimException.invalid("Table", label + " " + message);
    }
}
