/** {@code panoptim schedule}. */
@NullMarked
package io.panoptim.tools.schedule;

import org.jspecify.annotations.NullMarked;
