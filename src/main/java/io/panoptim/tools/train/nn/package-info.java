/**
 * Networks in plain Java, with the gradients of their parameters: enough to train something with an optimizer, and no part of
 * the library. Parameters are float32, everything is computed in double and in one order, with {@link java.lang.StrictMath}:
 * every machine gives the same bits. Batches are row-major, an example a row.
 */
@NullMarked
package io.panoptim.tools.train.nn;

import org.jspecify.annotations.NullMarked;
