package io.panoptim.tools.train;

import java.util.Random;

/** The rows of a data set in batches, in a new random order for each epoch. */
public final class Batches {
    private final int size;
    private final int count;
    private final Random random;
    private final int[] order;
    private int from;
    private int to;

    /**
     * Makes batches.
     *
     * @param rows how many there are
     * @param size of a batch, the last of which may be smaller; 0 for all rows, which then keep their order
     */
    public Batches(int rows, int size, Random random) {
        this.size = size == 0 ? rows : Math.min(size, rows);
        this.count = Math.ceilDiv(rows, this.size);
        this.random = random;
        order = new int[rows];
        for (int i = 0; i < rows; i++) {
            order[i] = i;
        }
        to = this.size;
    }

    /** How many there are in an epoch. */
    public int count() {
        return count;
    }

    /** Moves on to a batch of an epoch; the first one shuffles. */
    public void select(int batch) {
        if (batch == 0 && count > 1) {
            for (int i = order.length - 1; i > 0; i--) {
                int j = random.nextInt(i + 1);
                int swapped = order[i];
                order[i] = order[j];
                order[j] = swapped;
            }
        }
        from = batch * size;
        to = Math.min(from + size, order.length);
    }

    /** How many rows the batch has. */
    public int rows() {
        return to - from;
    }

    /** The batch of a row-major matrix. */
    public double[] of(double[] matrix, int columns) {
        double[] batch = new double[rows() * columns];
        for (int i = from; i < to; i++) {
            System.arraycopy(matrix, order[i] * columns, batch, (i - from) * columns, columns);
        }
        return batch;
    }

    /** The batch of labels. */
    public int[] of(int[] labels) {
        int[] batch = new int[rows()];
        for (int i = from; i < to; i++) {
            batch[i - from] = labels[order[i]];
        }
        return batch;
    }

    /** For people. */
    @Override
    public String toString() {
        return count == 1 ? "all rows in one batch" : "batches of " + size;
    }
}
