package io.panoptim.tools.train.moons;

import java.util.Random;

/**
 * Points on two interleaving half circles, as {@code sklearn.datasets.make_moons}.
 *
 * @param points two coordinates each
 * @param labels the moon of each point, 0 or 1
 */
record TwoMoons(double[][] points, int[] labels) {
    /**
     * The points of both moons, with Gaussian noise.
     *
     * @param random gives the same numbers on every machine: Java specifies its algorithms
     */
    static TwoMoons create(Random random, int pointsPerMoon, double noise) {
        double[][] points = new double[2 * pointsPerMoon][];
        int[] labels = new int[2 * pointsPerMoon];
        for (int i = 0; i < pointsPerMoon; i++) {
            double angle = Math.PI * i / (pointsPerMoon - 1);
            double cos = StrictMath.cos(angle);
            double sin = StrictMath.sin(angle);
            points[i] = new double[] {cos, sin};
            points[pointsPerMoon + i] = new double[] {1 - cos, 0.5 - sin};
            labels[pointsPerMoon + i] = 1;
        }
        for (double[] point : points) {
            point[0] += noise * random.nextGaussian();
            point[1] += noise * random.nextGaussian();
        }
        return new TwoMoons(points, labels);
    }

    int size() {
        return labels.length;
    }
}
