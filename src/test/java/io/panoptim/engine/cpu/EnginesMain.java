package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.Device;

/** Says in a process of its own which engines it gets. */
final class EnginesMain {
    private EnginesMain() {}

    public static void main(String[] none) {
        try {
            System.out.println("default: " + Engines.forDevice(Device.cpu()).name());
            CpuEngine cpu = (CpuEngine) Engines.named("cpu");
            System.out.println("cpu: " + cpu.isa().id() + ", threads: " + cpu.threads());
        } catch (PanoptimException refusal) {
            System.out.println(refusal.code() + " " + refusal.getMessage());
        }
    }
}
