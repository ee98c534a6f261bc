package io.panoptim.optim;

/**
 * The {@code betas} of an optimizer with three averages: their decay rates, in the order that it documents.
 *
 * @param first at index 0
 * @param second at index 1
 * @param third at index 2
 */
public record ThreeBetas(double first, double second, double third) {}
