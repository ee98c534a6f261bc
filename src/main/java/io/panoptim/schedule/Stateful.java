package io.panoptim.schedule;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What has a state of plain Java values: numbers, strings, booleans, null, and lists and maps of these. */
public interface Stateful {
    Map<String, @Nullable Object> stateDict();

    /** Takes a state over, or refuses it and stays as it was. */
    void loadStateDict(Map<String, ? extends @Nullable Object> stateDict);
}
