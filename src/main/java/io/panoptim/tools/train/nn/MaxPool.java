package io.panoptim.tools.train.nn;

/** The maximum of each 2 × 2 pixels, channel by channel; the first of equal ones. Images are height × width × channels. */
public final class MaxPool implements Layer {
    private final int height;
    private final int width;
    private final int channels;
    private int[] chosen = {};
    private int inputs;

    /** For images of an even height and width. */
    public MaxPool(int height, int width, int channels) {
        this.height = height;
        this.width = width;
        this.channels = channels;
    }

    @Override
    public double[] forward(double[] images, int rows) {
        inputs = images.length;
        chosen = new int[inputs / 4];
        double[] maxima = new double[chosen.length];
        int below = width * channels;
        for (int i = 0; i < maxima.length; i++) {
            int channel = i % channels;
            int pixel = i / channels;
            int x = pixel % (width / 2);
            int line = pixel / (width / 2); // of the pooled images, all images together
            int first = (2 * line * width + 2 * x) * channels + channel;
            int best = first;
            best = images[first + channels] > images[best] ? first + channels : best;
            best = images[first + below] > images[best] ? first + below : best;
            best = images[first + below + channels] > images[best] ? first + below + channels : best;
            chosen[i] = best;
            maxima[i] = images[best];
        }
        return maxima;
    }

    @Override
    public double[] backward(double[] gradient) {
        double[] images = new double[inputs];
        for (int i = 0; i < gradient.length; i++) {
            images[chosen[i]] += gradient[i];
        }
        return images;
    }
}
