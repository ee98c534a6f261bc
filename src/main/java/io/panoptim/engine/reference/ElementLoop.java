package io.panoptim.engine.reference;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Element;
import io.panoptim.engine.ElementUpdate;
import io.panoptim.engine.Rule;

/** The loop of a user's own rule: one element after the other is read, given to the update, and written. */
final class ElementLoop implements UpdateLoop {
    private final Rule rule;
    private final ElementUpdate update;

    ElementLoop(Rule rule, ElementUpdate update) {
        this.rule = rule;
        this.update = update;
    }

    @Override
    public void run(Arithmetic arithmetic, Scalars scalars, Elements elements) {
        Current element = new Current(arithmetic, scalars, elements);
        for (long i = elements.begin(); i < elements.end(); i++) {
            element.read(i);
            try {
                update.update(arithmetic, element);
            } catch (RuntimeException thrown) {
                throw new PanoptimException(Code.FAULT, "Engine.step", "the update of the rule " + rule + " threw at element " + i
                        + ": " + thrown.getMessage(), thrown);
            }
            element.write(i);
        }
    }

    private final class Current implements Element {
        private final Arithmetic arithmetic;
        private final Scalars scalars;
        private final Elements elements;
        private final double[] states;
        private double value;
        private double gradient;

        Current(Arithmetic arithmetic, Scalars scalars, Elements elements) {
            this.arithmetic = arithmetic;
            this.scalars = scalars;
            this.elements = elements;
            int slots = rule.minSlots();
            while (elements.hasState(slots)) {
                slots++;
            }
            this.states = new double[slots];
        }

        void read(long i) {
            value = elements.value(i);
            gradient = elements.gradient(i);
            for (int slot = 0; slot < states.length; slot++) {
                states[slot] = elements.state(slot, i);
            }
        }

        void write(long i) {
            elements.value(i, value);
            for (int slot = 0; slot < states.length; slot++) {
                elements.state(slot, i, states[slot]);
            }
        }

        @Override
        public double value() {
            return value;
        }

        @Override
        public void value(double newValue) {
            value = arithmetic.round(newValue);
        }

        @Override
        public double gradient() {
            return gradient;
        }

        @Override
        public boolean hasState(String key) {
            return rule.state(key) < states.length;
        }

        @Override
        public double state(String key) {
            return states[slot(key)];
        }

        @Override
        public void state(String key, double newState) {
            states[slot(key)] = arithmetic.round(newState);
        }

        private int slot(String key) {
            int slot = rule.state(key);
            if (slot >= states.length) {
                throw PanoptimException.invalid("Rule " + rule, "the options do not ask for the state '" + key
                        + "': ask hasState() first");
            }
            return slot;
        }

        @Override
        public double scalar(String name) {
            return scalars.get(rule.scalar(name));
        }

        @Override
        public boolean flag(String name) {
            return scalars.has(rule.flag(name));
        }
    }
}
