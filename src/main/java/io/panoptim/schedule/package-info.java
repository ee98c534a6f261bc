/** Learning-rate schedulers: they only write scalars. */
@NullMarked
package io.panoptim.schedule;

import org.jspecify.annotations.NullMarked;
