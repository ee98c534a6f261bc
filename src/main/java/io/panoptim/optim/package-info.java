/** Optimizers: names, options, parameter groups, state, and the formulas of their scalars. */
@NullMarked
package io.panoptim.optim;

import org.jspecify.annotations.NullMarked;
