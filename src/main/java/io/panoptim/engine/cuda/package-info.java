/** CUDA, through NVIDIA's driver. */
@NullMarked
package io.panoptim.engine.cuda;

import org.jspecify.annotations.NullMarked;
