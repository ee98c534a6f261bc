/** {@code panoptim train regression}. */
@NullMarked
package io.panoptim.tools.train.regression;

import org.jspecify.annotations.NullMarked;
