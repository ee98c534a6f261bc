package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredStep;
import io.panoptim.engine.Stream;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.tensor.Tensor;
import java.util.List;
import java.util.Objects;

/** The oracle of {@code kernels/factored.h}. */
final class FactoredLoop extends FactoredStep {
    private static final int ROWS = panoptim_h.PANOPTIM_FACTORED_ROWS();
    private static final long PIECE = panoptim_h.PANOPTIM_FACTORED_PIECE();
    private static final int LANES = panoptim_h.PANOPTIM_FACTORED_LANES();

    private final double[] rms;

    FactoredLoop(ReferenceEngine engine, List<Factored> tensors) {
        super(engine, tensors, true);
        rms = new double[tensors.size()];
    }

    @Override
    protected void step(List<Scalars> scalars, Stream stream) {
        checkAccessible();
        for (int i = 0; i < tensors().size(); i++) {
            if (tensors().get(i).value().elements() > 0) {
                rms[i] = new TensorStep(i, scalars.get(i)).run();
            }
        }
    }

    @Override
    protected double lastRms(int tensor) {
        return rms[tensor];
    }

    /** What a tensor's element adds to a sum. */
    private interface Term {
        double of(long matrix, long row, long column);
    }

    private final class TensorStep {
        final Factored tensor;
        final Scalars h;
        final Arithmetic a;
        final List<Block> blocks;
        final Tensor value;
        final Tensor gradient;
        final double[][] rowFactors;
        final double[][] columnFactors;
        final double weight;

        TensorStep(int number, Scalars scalars) {
            tensor = tensors().get(number);
            h = scalars;
            value = tensor.value();
            gradient = tensor.gradient();
            a = Arithmetic.of(value.dtype().computeType());
            blocks = blocks().subList(firstBlock(number), firstBlock(number + 1));
            int batch = Math.toIntExact(tensor.batch());
            rowFactors = new double[batch][Math.toIntExact(tensor.rows())];
            columnFactors = new double[batch][Math.toIntExact(tensor.columns())];
            weight = a.round(h.averageWeight());
        }

        double run() {
            double elements = value.elements();
            double rms = Math.sqrt(total((matrix, row, column) -> square(value.get(index(matrix, row, column)))) / elements);
            double lr = h.isScaled() ? Arithmetic.maximum(rms, h.scaleEps()) * h.lr() : h.lr();
            double keep = 1 - h.decay() - h.scaledDecay() * Math.abs(lr);
            if (tensor.rowAverage() == null) {
                averageElements();
            } else {
                for (int matrix = 0; matrix < tensor.batch(); matrix++) {
                    average(matrix, tensor.rowAverage());
                }
            }
            double size = Math.sqrt(total((matrix, row, column) -> square(update(matrix, row, column))) / elements);
            apply(a.round(-lr / Arithmetic.maximum(size / h.clipThreshold(), 1)), a.round(keep));
            return rms;
        }

        double square(double x) {
            return x * x;
        }

        /** A sum over all blocks, each by its rows' pieces. */
        double total(Term term) {
            double total = 0;
            for (Block block : blocks) {
                double sum = 0;
                for (long matrix = block.matrix(); matrix < block.matrix() + block.matrices(); matrix++) {
                    for (long i = block.row(); i < block.row() + block.rows(); i++) {
                        for (long done = 0; done < block.columns(); done += PIECE) {
                            sum += piece(term, matrix, i, block, done);
                        }
                    }
                }
                total += sum;
            }
            return total;
        }

        /** The sum over a piece of a block's row: element j is added to lane j % {@link #LANES}. */
        double piece(Term term, long matrix, long row, Block block, long begin) {
            double[] lanes = new double[LANES];
            for (long j = begin; j < Math.min(block.columns(), begin + PIECE); j++) {
                lanes[(int) ((j - begin) % LANES)] += term.of(matrix, row, block.column() + j);
            }
            for (int half = LANES / 2; half > 0; half /= 2) {
                for (int i = 0; i < half; i++) {
                    lanes[i] += lanes[i + half];
                }
            }
            return lanes[0];
        }

        long index(long matrix, long row, long column) {
            return (matrix * tensor.rows() + row) * tensor.columns() + column;
        }

        double gradientSquare(long matrix, long row, long column) {
            return square(gradient.get(index(matrix, row, column)));
        }

        double averaged(double average, double mean) {
            return a.lerp(average, a.round(mean + h.squareEps()), weight);
        }

        void average(int matrix, Tensor rowAverage) {
            int rows = rowFactors[matrix].length;
            int columns = columnFactors[matrix].length;
            double[] rowSums = new double[rows];
            double[] columnSums = new double[columns];
            for (Block block : blocks) {
                if (matrix >= block.matrix() && matrix < block.matrix() + block.matrices()) {
                    double[] sums = new double[Math.toIntExact(block.columns())];
                    for (long i = block.row(); i < block.row() + block.rows(); i++) {
                        double rowSum = 0;
                        for (long done = 0; done < block.columns(); done += PIECE) {
                            rowSum += piece(this::gradientSquare, matrix, i, block, done);
                        }
                        rowSums[(int) i] += rowSum;
                        for (int j = 0; j < sums.length; j++) {
                            sums[j] += gradientSquare(matrix, i, block.column() + j);
                        }
                    }
                    for (int j = 0; j < sums.length; j++) {
                        columnSums[(int) block.column() + j] += sums[j];
                    }
                }
            }
            double sum = 0;
            for (int first = 0; first < rows; first += ROWS) {
                double ofBlock = 0;
                for (int i = first; i < Math.min(first + ROWS, rows); i++) {
                    long at = (long) matrix * rows + i;
                    rowAverage.set(at, averaged(rowAverage.get(at), rowSums[i] / columns));
                    ofBlock += rowAverage.get(at);
                }
                sum += ofBlock;
            }
            for (int i = 0; i < rows; i++) {
                double root = Math.sqrt(rowAverage.get((long) matrix * rows + i) / Arithmetic.maximum(sum / rows, h.meanFloor()));
                rowFactors[matrix][i] = a.round(1 / root);
            }
            for (int j = 0; j < columns; j++) {
                long at = (long) matrix * columns + j;
                tensor.columnAverage().set(at, averaged(tensor.columnAverage().get(at), columnSums[j] / rows));
                columnFactors[matrix][j] = a.round(1 / Math.sqrt(tensor.columnAverage().get(at)));
            }
        }

        void averageElements() {
            rowFactors[0][0] = 1;
            for (int j = 0; j < columnFactors[0].length; j++) {
                double square = a.add(a.multiply(gradient.get(j), gradient.get(j)), a.round(h.squareEps()));
                tensor.columnAverage().set(j, a.lerp(tensor.columnAverage().get(j), square, weight));
                columnFactors[0][j] = a.round(1 / Math.sqrt(tensor.columnAverage().get(j)));
            }
        }

        double update(long matrix, long row, long column) {
            double g = gradient.get(index(matrix, row, column));
            double factor = a.multiply(rowFactors[(int) matrix][(int) row], columnFactors[(int) matrix][(int) column]);
            double limit = a.round(h.factorLimit());
            return g == 0 ? g : a.multiply(g, factor > limit ? limit : factor);
        }

        void apply(double stepSize, double keep) {
            double momentum = a.round(h.momentum());
            double newWeight = a.round(1 - h.momentum());
            for (long i = 0; i < value.elements(); i++) {
                long column = i % tensor.columns();
                long row = i / tensor.columns() % tensor.rows();
                double step = update(i / tensor.columns() / tensor.rows(), row, column);
                double size = stepSize;
                if (tensor.average() != null) {
                    step = a.average(tensor.average().get(i), momentum, a.multiply(-stepSize, step), newWeight);
                    Objects.requireNonNull(tensor.average()).set(i, step);
                    size = -1;
                }
                value.set(i, a.fma(size, step, a.multiply(value.get(i), keep)));
            }
        }
    }
}
