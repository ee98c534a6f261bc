package io.panoptim.engine.reference;

import io.panoptim.engine.ChunkPlan;
import io.panoptim.ffi.panoptim_h;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Sums that do not depend on the order of a tensor's parts, as {@code kernels/leaf.h} defines them. */
final class LeafSum {
    private static final int LANES = panoptim_h.PANOPTIM_LANES();
    private static final int FRACTION = 90;

    private final double[][] lanes;
    private final List<List<Double>> leaves = new ArrayList<>();

    LeafSum(int sums) {
        lanes = new double[sums][LANES];
        for (int i = 0; i < sums; i++) {
            leaves.add(new ArrayList<>());
        }
    }

    /** Adds an element's terms; {@code index} counts from the beginning of the tensor, or of the row. */
    void add(long index, double[] terms) {
        for (int i = 0; i < terms.length; i++) {
            lanes[i][(int) (index % LANES)] += terms[i];
        }
        if (index % ChunkPlan.LEAF == ChunkPlan.LEAF - 1) {
            endLeaf();
        }
    }

    /** Ends a leaf that is not full. */
    void endLeaf() {
        for (int i = 0; i < lanes.length; i++) {
            for (int half = LANES / 2; half > 0; half /= 2) {
                for (int lane = 0; lane < half; lane++) {
                    lanes[i][lane] += lanes[i][lane + half];
                }
            }
            leaves.get(i).add(lanes[i][0]);
            Arrays.fill(lanes[i], 0);
        }
    }

    /** The sums over everything added. */
    double[] sums() {
        endLeaf();
        return leaves.stream().mapToDouble(LeafSum::exact).toArray();
    }

    /** Multiples of 2^(e - 90), e the largest exponent, are added as integers: exactly. */
    private static double exact(List<Double> leaves) {
        double special = 0;
        int largest = Double.MIN_EXPONENT;
        for (double leaf : leaves) {
            special = Double.isFinite(leaf) ? special : special + leaf;
            largest = Math.max(largest, Math.getExponent(leaf));
        }
        if (largest > Double.MAX_EXPONENT) {
            return special;
        }
        BigInteger sum = BigInteger.ZERO;
        for (double leaf : leaves) {
            int exponent = Math.max(Double.MIN_EXPONENT, Math.getExponent(leaf));
            BigInteger fraction = BigInteger.valueOf((long) Math.scalb(Math.abs(leaf), 52 - exponent));
            BigInteger magnitude = fraction.shiftLeft(exponent - largest + FRACTION - 52); // cut off towards zero
            sum = leaf < 0 ? sum.subtract(magnitude) : sum.add(magnitude);
        }
        return Math.scalb(sum.doubleValue(), largest - FRACTION);
    }
}
