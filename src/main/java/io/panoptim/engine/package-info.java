/** What an engine must do, and what all engines share: rules, tables, rows, validation. */
@NullMarked
package io.panoptim.engine;

import org.jspecify.annotations.NullMarked;
