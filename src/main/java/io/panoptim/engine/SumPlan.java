package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.engine.RuleSums.Over;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Where the sums lie that a rule takes before its update: the leaves', and what follows from them.
 *
 * @param groups what is finished together
 * @param places for each tensor where its own begin
 * @param leafCount how many leaves there are, at least one
 * @param reducedCount how many sets of reduced values there are
 * @param cut why the sums cannot be taken, or null: which is no matter until a step takes them, where a rule does so on a condition
 */
public record SumPlan(List<Group> groups, List<Place> places, long leafCount, long reducedCount, @Nullable String cut) {
    private static final int LEAF = ChunkPlan.LEAF;

    /**
     * The rows of one tensor, or all tensors as a single row.
     *
     * @param leaf the first one
     * @param rows how many; each has leaves and reduced values of its own
     * @param rowLeaves leaves in each row
     * @param columns elements in each row
     * @param reduced the first row's
     * @param members the tensors: slices of one, or all
     */
    public record Group(long leaf, long rows, long rowLeaves, long columns, long reduced, List<Integer> members) {}

    /** A tensor's first leaf and reduced values; its rows, each of which has some. */
    public record Place(long leaf, long reduced, long rows, long columns) {}

    /** Plans the sums over some tensors. */
    static SumPlan of(RuleSums sums, List<TensorEntry> entries) {
        Place[] places = new Place[entries.size()];
        List<Group> groups = new ArrayList<>();
        long leaf = 0;
        long reduced = 0;
        @Nullable String cut = null;
        for (List<Integer> members : groups(sums.over(), entries)) {
            long rows = sums.over() == Over.ROW ? entries.get(members.getFirst()).rows() : 1;
            long first = leaf;
            long elements = 0;
            for (int member : members) {
                TensorEntry entry = entries.get(member);
                if (cutsLeaf(sums.over(), entry, member == members.getLast())) {
                    cut = "'" + entry.name() + "' is cut within a leaf: the rule takes sums, and slices must be cut at multiples of " + LEAF
                            + " elements of the whole tensor";
                }
                long columns = (entry.end() - entry.begin()) / rows;
                places[member] = new Place(leaf, reduced, rows, columns);
                leaf += rows * Math.ceilDiv(columns, LEAF);
                elements += columns;
            }
            if (elements > 0 || sums.over() == Over.GLOBAL) {
                groups.add(new Group(first, rows, (leaf - first) / rows, elements, reduced, members));
            }
            reduced += rows;
        }
        if (cut != null && sums.flag() == 0) {
            throw PanoptimException.invalid("Table", cut);
        }
        return new SumPlan(groups, Arrays.asList(places), Math.max(1, leaf), reduced, cut);
    }

    private static List<List<Integer>> groups(Over over, List<TensorEntry> entries) {
        List<Integer> all = IntStream.range(0, entries.size()).boxed().toList();
        if (over == Over.GLOBAL) {
            return List.of(all);
        }
        Map<Object, List<Integer>> slices = new LinkedHashMap<>();
        all.forEach(i -> slices.computeIfAbsent(over == Over.ROW ? i : entries.get(i).id(), key -> new ArrayList<>()).add(i));
        slices.values().forEach(group -> group.sort(
                Comparator.comparingLong(i -> entries.get(i).origin() + entries.get(i).begin())));
        return List.copyOf(slices.values());
    }

    /** Slices that cut leaves would give other sums than the whole. */
    private static boolean cutsLeaf(Over over, TensorEntry entry, boolean last) {
        boolean whole = entry.begin() == 0 && entry.end() == entry.value().elements();
        if (over == Over.ROW && (!whole || entry.origin() != 0)) {
            throw PanoptimException.unsupported("Table", "'" + entry.name() + "' is a slice, and the rule takes sums over the rows of "
                    + "whole tensors");
        }
        return (entry.origin() + entry.begin()) % LEAF != 0
                || !last && over == Over.TENSOR && (entry.origin() + entry.end()) % LEAF != 0;
    }
}
