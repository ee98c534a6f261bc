/** Matrix products, by the engine of the device where the matrices lie, and what is built on them. */
@NullMarked
package io.panoptim.linalg;

import org.jspecify.annotations.NullMarked;
