/** {@code panoptim train}: what all experiments share. */
@NullMarked
package io.panoptim.tools.train;

import org.jspecify.annotations.NullMarked;
