/** {@code panoptim train transfer}. */
@NullMarked
package io.panoptim.tools.train.transfer;

import org.jspecify.annotations.NullMarked;
