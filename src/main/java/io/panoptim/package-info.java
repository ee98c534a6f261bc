/** Panoptim: fused neural-network optimizer steps over off-heap memory, on the CPU and on CUDA. */
@NullMarked
package io.panoptim;

import org.jspecify.annotations.NullMarked;
