/** Optimizers whose step depends on norms or other sums: over a tensor, its rows or all parameters. */
@NullMarked
package io.panoptim.optim.norm;

import org.jspecify.annotations.NullMarked;
