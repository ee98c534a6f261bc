package io.panoptim.tools.train.nn;

/**
 * The mean loss over a batch.
 *
 * @param value the mean
 * @param gradient with respect to the network's outputs
 */
public record Loss(double value, double[] gradient) {
    /**
     * The cross-entropy of the softmax of logits.
     *
     * @param labels the class of each row
     */
    public static Loss crossEntropy(double[] logits, int[] labels) {
        int classes = logits.length / labels.length;
        double[] gradient = softmax(logits, classes);
        double loss = 0;
        for (int i = 0; i < labels.length; i++) {
            loss += logSumExp(logits, i * classes, classes) - logits[i * classes + labels[i]];
            gradient[i * classes + labels[i]] -= 1;
        }
        for (int i = 0; i < gradient.length; i++) {
            gradient[i] /= labels.length;
        }
        return new Loss(loss / labels.length, gradient);
    }

    /** The probability of each class in each row. */
    public static double[] softmax(double[] logits, int classes) {
        double[] probabilities = new double[logits.length];
        for (int row = 0; row < logits.length; row += classes) {
            double logSumExp = logSumExp(logits, row, classes);
            for (int i = row; i < row + classes; i++) {
                probabilities[i] = StrictMath.exp(logits[i] - logSumExp);
            }
        }
        return probabilities;
    }

    /** Half the squared error. */
    public static Loss halfSquaredError(double[] outputs, double[] targets) {
        double[] gradient = new double[outputs.length];
        double loss = 0;
        for (int i = 0; i < outputs.length; i++) {
            double error = outputs[i] - targets[i];
            loss += error * error / 2;
            gradient[i] = error / outputs.length;
        }
        return new Loss(loss / outputs.length, gradient);
    }

    /** The cross-entropy of the logistic function of logits, all of which should be of one class: 1 (true) or 0. */
    public static Loss logistic(double[] logits, boolean target) {
        double[] gradient = new double[logits.length];
        double sign = target ? -1 : 1;
        double loss = 0;
        for (int i = 0; i < logits.length; i++) {
            double margin = sign * logits[i]; // the loss is log(1 + exp(margin))
            double smaller = StrictMath.exp(-Math.abs(margin));
            loss += Math.max(margin, 0) + StrictMath.log1p(smaller);
            gradient[i] = sign * (margin > 0 ? 1 : smaller) / (1 + smaller) / logits.length;
        }
        return new Loss(loss / logits.length, gradient);
    }

    /** The maximum is taken out, so that nothing overflows. */
    private static double logSumExp(double[] logits, int from, int count) {
        double max = Double.NEGATIVE_INFINITY;
        for (int i = from; i < from + count; i++) {
            max = Math.max(max, logits[i]);
        }
        double sum = 0;
        for (int i = from; i < from + count; i++) {
            sum += StrictMath.exp(logits[i] - max);
        }
        return max + StrictMath.log(sum);
    }
}
