package io.panoptim.optim;

/**
 * The line search of {@code torch.optim.LBFGS}, {@code _strong_wolfe} in torch/optim/lbfgs.py: cubic interpolation and zoom until the
 * strong Wolfe conditions hold (Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6), in torch's order of operations.
 */
final class StrongWolfe {
    private static final double C1 = 1e-4;
    private static final double C2 = 0.9;

    /**
     * A point on the line.
     *
     * @param t how far along the direction
     * @param slope the gradient along the direction
     * @param gradient where the whole gradient is kept
     */
    record Point(double t, double loss, double slope, int gradient) {}

    /** The function that is minimized. */
    interface Line {
        /** Evaluates it, and keeps the gradient where those of these two points are not. */
        Point at(double t, Point one, Point other);
    }

    private final Line line;
    private final Point start;
    private final double toleranceChange;
    private final int maxIterations;
    private int evaluations;

    /** A search that begins at the point of t = 0. */
    StrongWolfe(Line line, Point start, double toleranceChange, int maxIterations) {
        this.line = line;
        this.start = start;
        this.toleranceChange = toleranceChange;
        this.maxIterations = maxIterations;
    }

    /** How often the function was evaluated. */
    int evaluations() {
        return evaluations;
    }

    /**
     * Searches.
     *
     * @param first the first step to try
     * @param largest the largest absolute value of the direction
     * @return the best point found
     */
    Point search(double first, double largest) {
        Point previous = start;
        Point next = at(first, start, start);
        int iteration = 0;
        for (; iteration < maxIterations; iteration++) {
            if (rises(next) || iteration > 1 && next.loss >= previous.loss) {
                return zoom(previous, next, iteration, largest);
            }
            if (isFlat(next)) {
                return next;
            }
            if (next.slope >= 0) {
                return zoom(previous, next, iteration, largest);
            }
            double t = interpolate(previous, next, next.t + 0.01 * (next.t - previous.t), next.t * 10);
            previous = next;
            next = at(t, previous, start);
        }
        return start.loss <= next.loss ? start : next;
    }

    /** Makes a bracket smaller that has a point where both conditions hold. */
    private Point zoom(Point left, Point right, int iterationsBefore, double largest) {
        Point[] bracket = {left, right};
        boolean tooLittle = false;
        int low = lower(bracket);
        for (int iteration = iterationsBefore; iteration < maxIterations; iteration++) {
            if (Math.abs(bracket[1].t - bracket[0].t) * largest < toleranceChange) {
                break;
            }
            double begin = least(bracket[0].t, bracket[1].t);
            double end = greatest(bracket[0].t, bracket[1].t);
            double t = interpolate(bracket[0], bracket[1], begin, end);
            // A step that is close to the boundary again, or at it, is moved away by a tenth of the bracket.
            double margin = 0.1 * (end - begin);
            if (least(end - t, t - begin) < margin) {
                if (tooLittle || t >= end || t <= begin) {
                    t = Math.abs(t - end) < Math.abs(t - begin) ? end - margin : begin + margin;
                    tooLittle = false;
                } else {
                    tooLittle = true;
                }
            } else {
                tooLittle = false;
            }
            Point next = at(t, bracket[0], bracket[1]);
            if (rises(next) || next.loss >= bracket[low].loss) {
                bracket[1 - low] = next;
                low = lower(bracket);
            } else {
                if (isFlat(next)) {
                    return next;
                }
                if (next.slope * (bracket[1 - low].t - bracket[low].t) >= 0) {
                    bracket[1 - low] = bracket[low];
                }
                bracket[low] = next;
            }
        }
        return bracket[low];
    }

    private Point at(double t, Point one, Point other) {
        evaluations++;
        return line.at(t, one, other);
    }

    /** Whether the first condition, of sufficient decrease, does not hold. */
    private boolean rises(Point point) {
        return point.loss > start.loss + C1 * point.t * start.slope;
    }

    /** Whether the second condition holds. */
    private boolean isFlat(Point point) {
        return Math.abs(point.slope) <= -C2 * start.slope;
    }

    private static int lower(Point[] bracket) {
        return bracket[0].loss <= bracket[1].loss ? 0 : 1;
    }

    /** Where the cubic through two points with their slopes is least, between two bounds. */
    private static double interpolate(Point one, Point two, double lower, double upper) {
        double d1 = one.slope + two.slope - 3 * (one.loss - two.loss) / (one.t - two.t);
        double square = d1 * d1 - one.slope * two.slope;
        if (!(square >= 0)) {
            return (lower + upper) / 2;
        }
        double d2 = Math.sqrt(square);
        double t = one.t <= two.t
                ? two.t - (two.t - one.t) * ((two.slope + d2 - d1) / (two.slope - one.slope + 2 * d2))
                : one.t - (one.t - two.t) * ((one.slope + d2 - d1) / (one.slope - two.slope + 2 * d2));
        return least(greatest(t, lower), upper);
    }

    /** Python's {@code min}, which keeps a NaN only if it comes first. */
    private static double least(double a, double b) {
        return b < a ? b : a;
    }

    private static double greatest(double a, double b) {
        return b > a ? b : a;
    }
}
