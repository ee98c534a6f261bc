/** The command-line tool. */
@NullMarked
package io.panoptim.tools;

import org.jspecify.annotations.NullMarked;
