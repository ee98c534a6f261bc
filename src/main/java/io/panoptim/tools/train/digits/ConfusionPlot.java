package io.panoptim.tools.train.digits;

import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Run;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Which held-out digits were taken for which. */
final class ConfusionPlot {
    private ConfusionPlot() {}

    static List<String> draw(List<Run<Digits>> runs, Path folder) throws IOException {
        List<String> files = new ArrayList<>();
        for (int i = 0; i < runs.size(); i++) {
            String title = "Held-out images" + (runs.size() == 1 ? "" : ", " + runs.get(i).label());
            files.add(Charts.save(Charts.counts(title, "taken for", "digit", runs.get(i).experiment().confusion()), folder,
                    Charts.name("confusion", i)));
        }
        return files;
    }
}
