/** What happens around an optimizer's step: clipping, loss scaling, averaging, accumulation, and all of it in one plan. */
@NullMarked
package io.panoptim.train;

import org.jspecify.annotations.NullMarked;
