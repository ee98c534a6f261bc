/** Optimizers composed of matrix products. */
@NullMarked
package io.panoptim.optim.matrix;

import org.jspecify.annotations.NullMarked;
