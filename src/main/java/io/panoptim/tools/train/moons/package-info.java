/** {@code panoptim train moons}. */
@NullMarked
package io.panoptim.tools.train.moons;

import org.jspecify.annotations.NullMarked;
