package io.panoptim.tools.train;

import java.io.Console;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** Shows how a training goes: a bar on a terminal, a few lines elsewhere. */
interface Progress extends AutoCloseable {
    /** After an epoch, counted from 1, with what there is to tell of it. */
    void update(int epoch, String numbers);

    @Override
    void close();

    /** For a terminal if there is one, else for lines of text. */
    static Progress of(PrintWriter out, int epochs) {
        Console console = System.console();
        return console != null && console.isTerminal() ? new Bar(epochs) : new Lines(out, epochs);
    }

    /** About ten lines in all. */
    final class Lines implements Progress {
        private final PrintWriter out;
        private final int epochs;
        private final int interval;

        Lines(PrintWriter out, int epochs) {
            this.out = out;
            this.epochs = epochs;
            this.interval = Math.max(1, epochs / 10);
        }

        @Override
        public void update(int epoch, String numbers) {
            if (epoch % interval == 0 || epoch == epochs) {
                int width = Integer.toString(epochs).length();
                out.printf(Locale.ROOT, "epoch %" + width + "d/%d  %s%n", epoch, epochs, numbers);
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

        Bar(int epochs) {
            boolean unicode = System.out.charset().equals(StandardCharsets.UTF_8);
            bar = new ProgressBarBuilder().setTaskName("epoch").setInitialMax(epochs).hideEta()
                    .setUpdateIntervalMillis(REFRESH_MILLIS).setConsumer(new ConsoleProgressBarConsumer(System.out, WIDTH))
                    .setStyle(unicode ? ProgressBarStyle.UNICODE_BLOCK : ProgressBarStyle.ASCII).build();
            Runtime.getRuntime().addShutdownHook(new Thread(this::close));
        }

        @Override
        public void update(int epoch, String numbers) {
            bar.stepTo(epoch);
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
