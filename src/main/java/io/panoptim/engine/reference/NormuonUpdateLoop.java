package io.panoptim.engine.reference;

import static io.panoptim.engine.NormuonUpdateRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/normuon_update.h}. */
final class NormuonUpdateLoop implements SummingLoop {
    private static final Arithmetic DOUBLE = Arithmetic.of(DType.FLOAT64);
    private static final int SECOND_MOMENTUM_BUFFER = 0;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double orthogonal = e.gradient(i);
        terms[UPDATE_SQ] = orthogonal * orthogonal;
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        Tensor averages = shared[SECOND_MOMENTUM_BUFFER];
        double normSq = 0;
        double normedSq = 0;
        for (int row = 0; row < sums.length; row++) {
            double square = sums[row][UPDATE_SQ];
            double average = DOUBLE.lerp(averages.get(row), square / columns, h.get(SECOND_MOMENTUM_WEIGHT));
            averages.set(row, average);
            double divisor = Math.sqrt(average) + h.get(EPS);
            normSq += square;
            normedSq += square / divisor / divisor;
        }
        double stepSize = h.get(STEP_SIZE) * (Math.sqrt(normSq) / (Math.sqrt(normedSq) + h.get(EPS)));
        for (int row = 0; row < sums.length; row++) {
            reduced.set(row, ROW_STEP_SIZE, stepSize / (Math.sqrt(averages.get(row)) + h.get(EPS)));
        }
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            e.value(i, a.fma(h.get(ROW_STEP_SIZE), e.gradient(i), a.multiply(e.value(i), h.get(DECAY))));
        }
    }
}
