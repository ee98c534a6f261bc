package io.panoptim.tools.train.nn;

import io.panoptim.tensor.Memory;
import java.util.List;
import java.util.Random;

/**
 * A convolution of 3 × 3 with stride 1, padded with zeros, so that an image keeps its size: a {@link Linear} layer on the
 * surroundings of each pixel. Images are height × width × channels.
 */
public final class Convolution implements Layer {
    private static final int SIZE = 3;

    private final int height;
    private final int width;
    private final int channels;
    private final Linear linear;

    /** Initialised as {@code torch.nn.Conv2d}; the weights are filters × 3 × 3 × channels. */
    public Convolution(String name, Memory memory, Random random, int height, int width, int channels, int filters) {
        this.height = height;
        this.width = width;
        this.channels = channels;
        linear = new Linear(name, memory, random, filters, new long[] {filters, SIZE, SIZE, channels});
    }

    @Override
    public List<Weights> weights() {
        return linear.weights();
    }

    @Override
    public double[] forward(double[] images, int rows) {
        double[] patches = new double[images.length * SIZE * SIZE];
        eachPixelOfEachPatch(rows, (image, patch) -> System.arraycopy(images, image, patches, patch, channels));
        return linear.forward(patches, rows * height * width);
    }

    @Override
    public double[] backward(double[] gradient) {
        double[] patches = linear.backward(gradient);
        double[] images = new double[patches.length / (SIZE * SIZE)];
        eachPixelOfEachPatch(images.length / (height * width * channels), (image, patch) -> {
            for (int i = 0; i < channels; i++) {
                images[image + i] += patches[patch + i];
            }
        });
        return images;
    }

    private interface Pixel {
        /** Where the channels of a pixel lie in the images, and in the patches. */
        void accept(int image, int patch);
    }

    private void eachPixelOfEachPatch(int rows, Pixel pixel) {
        for (int row = 0; row < rows; row++) {
            for (int y = 0; y < height; y++) {
                for (int x = 0; x < width; x++) {
                    for (int part = 0; part < SIZE * SIZE; part++) {
                        int fromY = y + part / SIZE - 1;
                        int fromX = x + part % SIZE - 1;
                        if (fromY >= 0 && fromY < height && fromX >= 0 && fromX < width) {
                            int center = (row * height + y) * width + x;
                            pixel.accept(((row * height + fromY) * width + fromX) * channels,
                                    (center * SIZE * SIZE + part) * channels);
                        }
                    }
                }
            }
        }
    }
}
