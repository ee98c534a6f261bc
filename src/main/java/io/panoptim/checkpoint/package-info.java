/**
 * Tensors in files, and nothing of how they came to be.
 *
 * <p>Needs {@code com.fasterxml.jackson.core:jackson-databind} on the class path: an optional dependency of this library,
 * so who uses this package declares it.
 */
@NullMarked
package io.panoptim.checkpoint;

import org.jspecify.annotations.NullMarked;
