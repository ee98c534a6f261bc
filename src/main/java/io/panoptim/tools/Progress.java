package io.panoptim.tools;

import java.io.Console;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** Shows how far something has got: a bar on a terminal, a few lines elsewhere. */
public interface Progress extends AutoCloseable {
    /** After a step, counted from 1, with what there is to tell of it. */
    void update(int step, String numbers);

    @Override
    void close();

    /** For a terminal if there is one, else for lines of text. */
    static Progress of(PrintWriter out, String unit, int steps) {
        Console console = System.console();
        return console != null && console.isTerminal() ? new Bar(unit, steps) : new Lines(out, unit, steps);
    }

    /** About ten lines in all. */
    final class Lines implements Progress {
        private final PrintWriter out;
        private final String unit;
        private final int steps;
        private final int interval;

        Lines(PrintWriter out, String unit, int steps) {
            this.out = out;
            this.unit = unit;
            this.steps = steps;
            this.interval = Math.max(1, steps / 10);
        }

        @Override
        public void update(int step, String numbers) {
            if (step % interval == 0 || step == steps) {
                int width = Integer.toString(steps).length();
                out.printf(Locale.ROOT, "%s %" + width + "d/%d  %s%n", unit, step, steps, numbers);
                out.flush();
            }
        }

        @Override
        public void close() {}
    }

    /** A bar, which also ends its line when Ctrl-C ends the process. */
    final class Bar implements Progress {
        private static final int REFRESH_MILLIS = 100;
        /** Fixed, since asking the terminal takes JLine, which lets Ctrl-C kill the process without its shutdown hooks. */
        private static final int WIDTH = 79;

        private final ProgressBar bar;
        private final AtomicBoolean closed = new AtomicBoolean();

        Bar(String unit, int steps) {
            boolean unicode = System.out.charset().equals(StandardCharsets.UTF_8);
            bar = new ProgressBarBuilder().setTaskName(unit).setInitialMax(steps).hideEta()
                    .setUpdateIntervalMillis(REFRESH_MILLIS).setConsumer(new ConsoleProgressBarConsumer(System.out, WIDTH))
                    .setStyle(unicode ? ProgressBarStyle.UNICODE_BLOCK : ProgressBarStyle.ASCII).build();
            Runtime.getRuntime().addShutdownHook(new Thread(this::close));
        }

        @Override
        public void update(int step, String numbers) {
            bar.stepTo(step);
            bar.setExtraMessage(numbers);
        }

        @Override
        public void close() {
            if (!closed.getAndSet(true)) {
                bar.close();
            }
        }
    }
}
