package io.panoptim.engine.cpu;

import java.util.ArrayList;
import java.util.List;

/** Says in a process of its own where the library of a name is found: "found PATH", or one line for each place tried. */
final class LocatorMain {
    private LocatorMain() {}

    public static void main(String[] fileName) {
        List<String> tried = new ArrayList<>();
        LibraryLocator.find(fileName[0], tried).ifPresent(path -> System.out.println("found " + path));
        tried.forEach(System.out::println);
    }
}
