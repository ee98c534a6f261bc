/** {@code panoptim replay}: a training run recorded in PyTorch, done again here and compared. */
@NullMarked
package io.panoptim.tools.replay;

import org.jspecify.annotations.NullMarked;
