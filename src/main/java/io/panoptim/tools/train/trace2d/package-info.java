/** {@code panoptim train trace2d}. */
@NullMarked
package io.panoptim.tools.train.trace2d;

import org.jspecify.annotations.NullMarked;
