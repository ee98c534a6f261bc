package io.panoptim.engine.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What an engine has allocated and not yet freed. With {@code -Dpanoptim.memory.trace=true} it also knows where in the program each
 * was, and says so when the process ends.
 */
final class Allocations {
    static final String TRACE_PROPERTY = "panoptim.memory.trace";
    private static final int FRAMES = 12;

    private record Allocation(String kind, long bytes, @Nullable List<StackWalker.StackFrame> site) {}

    private final String device;
    private final boolean traced;
    private final Map<Long, Allocation> live = new TreeMap<>();
    private long bytes;
    private long peak;

    Allocations(String device, boolean traced) {
        this.device = device;
        this.traced = traced;
    }

    /** Prints what is left when the process ends, if that is asked for. */
    static Allocations ofProcess(String device) {
        Allocations allocations = new Allocations(device, Boolean.getBoolean(TRACE_PROPERTY));
        if (allocations.traced) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                String report = allocations.report();
                if (!report.isEmpty()) {
                    System.err.print(report);
                }
            }, "panoptim-memory-report"));
        }
        return allocations;
    }

    synchronized void add(String kind, long address, long size) {
        List<StackWalker.StackFrame> site = traced ? StackWalker.getInstance().walk(frames -> frames.skip(1).limit(FRAMES).toList()) : null;
        live.put(address, new Allocation(kind, size, site));
        bytes += size;
        peak = Math.max(peak, bytes);
    }

    synchronized void remove(long address) {
        Allocation freed = live.remove(address);
        bytes -= freed == null ? 0 : freed.bytes;
    }

    synchronized int count() {
        return live.size();
    }

    synchronized long bytes() {
        return bytes;
    }

    synchronized long peak() {
        return peak;
    }

    /** One paragraph for each allocation that was not freed; empty if all were. */
    synchronized String report() {
        List<String> lines = new ArrayList<>();
        live.values().forEach(allocation -> lines.add("panoptim: " + allocation.bytes + " bytes of " + allocation.kind + " on " + device
                + " were not freed, allocated" + (allocation.site == null ? " somewhere (-D" + TRACE_PROPERTY + "=true says where)"
                : allocation.site.stream().map(frame -> "\n    at " + frame).collect(Collectors.joining())) + "\n"));
        return String.join("", lines);
    }
}
