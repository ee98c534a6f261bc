/** Tensors over memory that the user owns, and what may be said of them without an engine. */
@NullMarked
package io.panoptim.tensor;

import org.jspecify.annotations.NullMarked;
