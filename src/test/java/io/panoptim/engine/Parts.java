package io.panoptim.engine;

/** For an engine that stands for another: what that one adds up, before it is finished. */
public final class Parts {
    private Parts() {}

    /** A dot product, an absolute maximum, or the sum of a norm's powers. */
    public static double of(TableEngine engine, Table table, Reduction parts, Stream stream) {
        return engine.reduceColumns(table, parts, stream).get();
    }
}
