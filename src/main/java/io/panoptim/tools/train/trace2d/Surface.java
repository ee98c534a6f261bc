package io.panoptim.tools.train.trace2d;

/** A function of two variables, with its minimum, 0, at the origin. */
enum Surface {
    /** Twenty times as steep in one direction as in the other. */
    BOWL("0.1 x1^2 + 2 x2^2", -5, -2) {
        @Override
        double value(double x1, double x2) {
            return 0.1 * x1 * x1 + 2 * x2 * x2;
        }

        @Override
        double[] gradient(double x1, double x2) {
            return new double[] {0.2 * x1, 4 * x2};
        }
    },

    /** Flat far from the origin; towards it the walls close in, and become a hundred times as steep. */
    VALLEY("0.1 x1^2 + (1 + 100 exp(-0.08 x1^2)) x2^2", -5, -1.5) {
        @Override
        double value(double x1, double x2) {
            return 0.1 * x1 * x1 + steepness(x1) * x2 * x2;
        }

        @Override
        double[] gradient(double x1, double x2) {
            double slope = -0.16 * x1 * (steepness(x1) - 1);
            return new double[] {0.2 * x1 + slope * x2 * x2, 2 * steepness(x1) * x2};
        }

        private static double steepness(double x1) {
            return 1 + 100 * StrictMath.exp(-0.08 * x1 * x1);
        }
    };

    private final String formula;
    private final double[] start;

    Surface(String formula, double... start) {
        this.formula = formula;
        this.start = start;
    }

    String formula() {
        return formula;
    }

    /** Where a descent shows what there is to see. */
    double[] start() {
        return start.clone();
    }

    abstract double value(double x1, double x2);

    /** The derivatives by x1 and by x2. */
    abstract double[] gradient(double x1, double x2);
}
