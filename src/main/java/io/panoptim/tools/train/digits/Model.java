package io.panoptim.tools.train.digits;

import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tools.train.nn.Activation;
import io.panoptim.tools.train.nn.Convolution;
import io.panoptim.tools.train.nn.Linear;
import io.panoptim.tools.train.nn.Loss;
import io.panoptim.tools.train.nn.MaxPool;
import io.panoptim.tools.train.nn.Network;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * A classifier of 8 x 8 pixels in two parts.
 *
 * @param features two convolutions
 * @param classifier fully connected
 */
public record Model(Network features, Network classifier) {
    static final int SIZE = 8;
    private static final int[] FILTERS = {16, 32};
    private static final int FEATURES = SIZE / 4 * SIZE / 4 * FILTERS[1];

    /** A model with random parameters. */
    public static Model create(Memory memory, Random random, int classes) {
        return new Model(
                new Network(
                        new Convolution("features.0", memory, random, SIZE, SIZE, 1, FILTERS[0]), Activation.relu(),
                        new MaxPool(SIZE, SIZE, FILTERS[0]),
                        new Convolution("features.1", memory, random, SIZE / 2, SIZE / 2, FILTERS[0], FILTERS[1]), Activation.relu(),
                        new MaxPool(SIZE / 2, SIZE / 2, FILTERS[1])),
                new Network(new Linear("classifier", memory, random, FEATURES, classes)));
    }

    /** Everything that is learned, each part's in its order. */
    public List<Parameter> parameters() {
        return Stream.of(features, classifier).flatMap(part -> part.parameters().stream()).toList();
    }

    /**
     * Sets the gradients of both parts, and returns the mean cross-entropy.
     *
     * @param frozen takes the features' gradients away instead
     */
    public double lossAndGradients(double[] pixels, int[] labels, boolean frozen) {
        Loss loss = Loss.crossEntropy(logits(pixels, labels.length), labels);
        double[] gradient = classifier.backward(loss.gradient());
        classifier.write();
        if (frozen) {
            features.freeze();
        } else {
            features.backward(gradient);
            features.write();
        }
        return loss.value();
    }

    /** The likeliest class of each image. */
    public int[] classify(Images images) {
        double[] logits = logits(images.pixels(), images.size());
        int classes = images.classes();
        return IntStream.range(0, images.size()).map(image -> IntStream.range(0, classes)
                .reduce(0, (best, i) -> logits[image * classes + i] > logits[image * classes + best] ? i : best)).toArray();
    }

    /** The part of the images that is classified rightly. */
    public double accuracy(Images images) {
        int[] found = classify(images);
        return IntStream.range(0, found.length).filter(i -> found[i] == images.labels()[i]).count() / (double) found.length;
    }

    private double[] logits(double[] pixels, int rows) {
        features.read();
        classifier.read();
        return classifier.forward(features.forward(pixels, rows), rows);
    }
}
