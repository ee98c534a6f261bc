/** The oracle and the fallback: plain Java, one element at a time. */
@NullMarked
package io.panoptim.engine.reference;

import org.jspecify.annotations.NullMarked;
