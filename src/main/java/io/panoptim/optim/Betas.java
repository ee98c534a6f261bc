package io.panoptim.optim;

/**
 * torch's {@code betas}: the decay rates of the averages of the gradient and of its square.
 *
 * @param first for the average of the gradient
 * @param second for the average of its square
 */
public record Betas(double first, double second) {}
