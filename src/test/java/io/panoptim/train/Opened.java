package io.panoptim.train;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;

/** Tests that close what they have opened. */
abstract class Opened {
    final Arena arena = Arena.ofShared();
    final List<AutoCloseable> opened = new ArrayList<>();

    @AfterEach
    final void close() throws Exception {
        for (AutoCloseable each : opened.reversed()) {
            each.close();
        }
        arena.close();
    }

    final <T extends AutoCloseable> T open(T closeable) {
        opened.add(closeable);
        return closeable;
    }
}
