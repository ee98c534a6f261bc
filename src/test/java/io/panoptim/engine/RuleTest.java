package io.panoptim.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.engine.Rule.Definition;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Rules of a user's own, in plain Java. */
class RuleTest {
    private static final ElementUpdate NOTHING = (a, x) -> {};

    private final Arena arena = Arena.ofAuto();

    @Test
    void namesAreGivenInTheOrderOfSlotsScalarsAndBits() {
        Rule rule = Rule.define("mine").states("a", "b", "c?").scalars("x", "y").flags("f", "g").update(NOTHING);
        assertEquals("mine", rule.name());
        assertEquals(List.of("a", "b", "c"), rule.states());
        assertEquals(2, rule.minSlots());
        assertEquals(2, rule.state("c"));
        assertEquals(1, rule.scalar("y"));
        assertEquals(2, rule.flag("g"));
        assertTrue(rule.id() < 0);
        refused("Rule mine: there is no scalar 'z', only [x, y]", () -> rule.scalar("z"));
        refused("Rule mine: there is no flag 'x', only [f, g]", () -> rule.flag("x"));
        refused("Rule mine: there is no state 'x', only [a, b, c]", () -> rule.state("x"));
    }

    @Test
    void whatARowOrATableHasNoPlaceForIsRefused() {
        Definition rule = Rule.define("mine");
        refused("Rule 'mine': 7 states: at most 6 are possible", () -> rule.states(words(7)));
        refused("Rule 'mine': 17 scalars: at most 16 are possible", () -> rule.scalars(words(17)));
        refused("Rule 'mine': 33 flags: at most 32 are possible", () -> rule.flags(words(33)));
        Rule full = rule.states(words(6)).scalars(words(16)).flags(words(32)).update(NOTHING);
        assertEquals(1 << 31, full.flag("word31"));
    }

    @Test
    void namesThatAreNotWordsOrNotDifferentAreRefused() {
        refused("Rule 'a rule': 'a rule' among the names is not a word of letters, digits and underscores",
                () -> Rule.define("a rule"));
        Definition rule = Rule.define("mine");
        refused("Rule 'mine': '1st' among the scalars is not a word", () -> rule.scalars("1st"));
        refused("Rule 'mine': '' among the states is not a word", () -> rule.states("?"));
        refused("Rule 'mine': the flags [f, f] have one name twice", () -> rule.flags("f", "f"));
        refused("Rule 'mine': the states [a, a] have one name twice", () -> rule.states("a", "a?"));
        refused("Rule 'mine': the state 'b' is behind optional ones: these come last", () -> rule.states("a?", "b"));
    }

    @Test
    void anUpdateReadsWhatItHasSet() {
        Rule rule = Rule.define("mine").states("m").scalars("third").update((a, x) -> {
            x.state("m", 1.0 / 3);
            x.value(x.state("m") == x.scalar("third") && x.state("m") == (float) (1.0 / 3) ? 1 : 0);
            x.value(x.value() + 1);
        });
        for (DType type : List.of(DType.FLOAT32, DType.BFLOAT16)) {
            Tensor value = Tensor.zeros(arena, type, 3);
            Tensor state = Tensor.zeros(arena, type, 3);
            try (Table table = table(rule, value, state)) {
                step(table, new Rows(1).set(0, rule.scalar("third"), 1.0 / 3));
            }
            assertEquals(2, value.get(2), "rounded to float32, not to the half type, before it is stored");
            assertEquals(type == DType.FLOAT32 ? (float) (1.0 / 3) : 0x1.56p-2, state.get(2));
        }
    }

    @Test
    void aValueThatAnUpdateDoesNotSetDecaysAllTheSame() {
        Tensor value = Tensor.of(arena, new float[] {2});
        try (Table table = table(Rule.define("mine").update(NOTHING), value)) {
            step(table, new Rows(1).keep(0, 0.5));
        }
        assertEquals(1, value.get(0));
    }

    @Test
    void anUpdateThatThrowsIsAFaultThatNamesTheElement() {
        Rule rule = Rule.define("mine").states("m?").update((a, x) -> {
            if (x.value() == 2) {
                x.state("m", 1);
            }
        });
        Tensor value = Tensor.of(arena, new float[] {1, 2});
        try (Table table = table(rule, value)) {
            PanoptimException fault = assertThrows(PanoptimException.class, () -> step(table, new Rows(1)));
            assertEquals(Code.FAULT, fault.code());
            assertEquals("Engine.step: the update of the rule mine threw at element 1: Rule mine: the options do not ask for the "
                    + "state 'm': ask hasState() first", fault.getMessage());
        }
    }

    @Test
    void theCpuEngineRefusesARuleThatIsInJavaOnly() {
        Rule rule = Rule.define("mine").update(NOTHING);
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> TestEngines.cpu().table(rule, List.of()));
        assertEquals(Code.UNSUPPORTED, refusal.code());
        assertEquals("Table: the cpu engine cannot run the rule mine, which is defined in Java only: use the reference engine "
                + "(Engines.named(\"reference\")), or compile it too (Rule.withLibrary)", refusal.getMessage());
    }

    @Test
    void aRuleOfTheListTakesNoLibrary() {
        refused("Rule.withLibrary: adam is not a rule that Rule.define made", () -> Rule.ADAM.withLibrary(Path.of("libadam.so")));
    }

    private Table table(Rule rule, Tensor value, Tensor... states) {
        Table table = TestEngines.reference().table(rule,
                List.of(new TensorEntry("w", value, Tensor.zeros(arena, value.dtype(), value.shape()), List.of(states), 0)));
        table.classes(new int[1]);
        return table;
    }

    private static void step(Table table, Rows rows) {
        TestEngines.reference().step(table, rows, null, Extras.NONE, Stream.DEFAULT);
    }

    private static void refused(String message, Runnable call) {
        PanoptimException refusal = assertThrows(PanoptimException.class, call::run);
        assertEquals(Code.INVALID, refusal.code());
        assertTrue(refusal.getMessage().startsWith(message), refusal.getMessage());
    }

    private static String[] words(int count) {
        return IntStream.range(0, count).mapToObj(i -> "word" + i).toArray(String[]::new);
    }
}
