/** {@code panoptim train gan}. */
@NullMarked
package io.panoptim.tools.train.gan;

import org.jspecify.annotations.NullMarked;
