/** {@code panoptim bench}: the library's steps against other libraries', on the same numbers, in turn. */
@NullMarked
package io.panoptim.tools.bench;

import org.jspecify.annotations.NullMarked;
