/** Optimizers around others. */
@NullMarked
package io.panoptim.optim.wrap;

import org.jspecify.annotations.NullMarked;
