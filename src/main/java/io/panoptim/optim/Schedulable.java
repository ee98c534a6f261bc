package io.panoptim.optim;

/** What a scheduler can be attached to: an optimizer, for its learning rates, or another of its hyperparameters. */
public interface Schedulable {
    /** The number of each group that a scheduler sets. */
    Hyperparameter scheduled();
}
