package io.panoptim.engine;

/** Captured work of a stream. Replays check that no table in it has changed its topology or presence since. */
public interface Graph extends AutoCloseable {
    /** Runs the captured work with the rows as they are now. */
    void replay(Stream stream);

    @Override
    void close();
}
