/** {@code panoptim train digits}, and its data and model for other experiments. */
@NullMarked
package io.panoptim.tools.train.digits;

import org.jspecify.annotations.NullMarked;
