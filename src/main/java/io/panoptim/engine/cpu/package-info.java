/** The CPU engine: native SIMD loops behind the Foreign Function and Memory API. */
@NullMarked
package io.panoptim.engine.cpu;

import org.jspecify.annotations.NullMarked;
