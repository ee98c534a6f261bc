"""Records what schedulers of PyTorch, transformers, timm and pytorch_optimizer do, bit for bit; README.md says what is written.

    python record.py torch                          write torch.json beside this file
    python record.py practice [--out DIR] PATH ...  write practice.json

`practice` needs transformers, timm and pytorch_optimizer; each PATH is put on sys.path (say, a folder into which
`pip install --no-deps --target` has put one of them: only single files of them are loaded, so that nothing else is needed).
"""
import argparse
import copy
import importlib.util
import json
import math
import pathlib
import platform
import struct
import sys
import unittest.mock
import warnings

import torch
from torch.optim import lr_scheduler, swa_utils

STEPS = 500
SAVED = 137
BLOCK = 20
U64 = (1 << 64) - 1


def word(key, n):
    z = (key + (n + 1) * 0x9E3779B97F4A7C15) & U64
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & U64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & U64
    return z ^ z >> 31


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def hashed(values):
    """As src/test/golden/README.md has it, of doubles."""
    return f"{word(sum(word(bits(v), i) for i, v in enumerate(values)) & U64, len(values)) >> 32:08x}"


def metric(step, kind):
    """What a plateau scheduler is given: exact in floating point, falling for a while, then restless."""
    value = (step * 7919 % 101) / 64 + max(0, 240 - step) / 4
    if kind == "rising":
        return -value
    return math.nan if kind == "broken" and step % 50 == 49 else value


# ---- Cases. `scheduler` is what Java's tools read; functions are lists of factors, the last of which goes on.

def case(name, scheduler, lrs=(0.1, 0.003), optimizer="SGD", **more):
    return {"name": name, "optimizer": optimizer, "lrs": list(lrs), "scheduler": scheduler, **more}


def scheduler(name, **arguments):
    return {"name": name, **arguments}


def adam(name, described, **more):
    return case(name, described, lrs=(2e-3, 7e-5), optimizer="AdamW", **more)


S = scheduler
WAVE = [1 + (i * 37 % 64 - 32) / 64 for i in range(13)]
SLOW = [1 - (i * 37 % 64) / 8192 for i in range(11)]

SIMPLE = [
    case("LambdaLR", S("LambdaLR", lr_lambda=WAVE)),
    case("LambdaLR-each", S("LambdaLR", lr_lambda=[WAVE, SLOW])),
    case("MultiplicativeLR", S("MultiplicativeLR", lr_lambda=SLOW)),
    case("MultiplicativeLR-each", S("MultiplicativeLR", lr_lambda=[SLOW, SLOW[::-1]])),
    case("StepLR", S("StepLR", step_size=30)),
    case("StepLR-gamma", S("StepLR", step_size=7, gamma=0.93)),
    case("StepLR-1", S("StepLR", step_size=1, gamma=1.01)),
    case("MultiStepLR", S("MultiStepLR", milestones=[50, 120, 333])),
    case("MultiStepLR-repeated", S("MultiStepLR", milestones=[333, 120, 50, 120, 120, 1], gamma=0.7)),
    case("ConstantLR", S("ConstantLR")),
    case("ConstantLR-long", S("ConstantLR", factor=0.7, total_iters=150)),
    case("LinearLR", S("LinearLR")),
    case("LinearLR-up", S("LinearLR", start_factor=0.01, end_factor=0.9, total_iters=333)),
    case("LinearLR-down", S("LinearLR", start_factor=1.0, end_factor=0.0, total_iters=400)),
    case("LinearLR-0", S("LinearLR", start_factor=0.5, total_iters=0)),
    case("ExponentialLR", S("ExponentialLR", gamma=0.99)),
    case("ExponentialLR-up", S("ExponentialLR", gamma=1.003)),
    case("PolynomialLR", S("PolynomialLR")),
    case("PolynomialLR-power", S("PolynomialLR", total_iters=450, power=0.9)),
    case("PolynomialLR-square", S("PolynomialLR", total_iters=333, power=2.0)),
    case("CosineAnnealingLR", S("CosineAnnealingLR", T_max=500)),
    case("CosineAnnealingLR-waves", S("CosineAnnealingLR", T_max=37, eta_min=1e-4)),
    case("CosineAnnealingLR-1", S("CosineAnnealingLR", T_max=1, eta_min=0.01)),
    case("CosineAnnealingWarmRestarts", S("CosineAnnealingWarmRestarts", T_0=41)),
    case("CosineAnnealingWarmRestarts-longer", S("CosineAnnealingWarmRestarts", T_0=7, T_mult=2, eta_min=1e-3)),
    case("CosineAnnealingWarmRestarts-3", S("CosineAnnealingWarmRestarts", T_0=1, T_mult=3)),
    case("CyclicLR", S("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=30)),
    case("CyclicLR-each", S("CyclicLR", base_lr=[0.01, 0.001], max_lr=[0.3, 0.02], step_size_up=17, step_size_down=40,
                            mode="triangular2", base_momentum=[0.7, 0.6], max_momentum=[0.95, 0.9])),
    case("CyclicLR-exp", S("CyclicLR", base_lr=0.001, max_lr=0.1, step_size_up=12.5, step_size_down=20.25,
                           mode="exp_range", gamma=0.994)),
    case("CyclicLR-down-0", S("CyclicLR", base_lr=0.001, max_lr=0.1, step_size_up=23, step_size_down=0)),
    adam("CyclicLR-beta1", S("CyclicLR", base_lr=1e-5, max_lr=1e-3, step_size_up=50)),
    case("CyclicLR-still", S("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=30, cycle_momentum=False)),
    case("OneCycleLR", S("OneCycleLR", max_lr=0.1, total_steps=500)),
    case("OneCycleLR-three", S("OneCycleLR", max_lr=[0.1, 0.02], total_steps=600, three_phase=True, pct_start=0.37)),
    case("OneCycleLR-linear", S("OneCycleLR", max_lr=0.3, epochs=9, steps_per_epoch=60, anneal_strategy="linear",
                                div_factor=10.0, final_div_factor=1e3, base_momentum=[0.8, 0.7], max_momentum=0.99)),
    adam("OneCycleLR-beta1", S("OneCycleLR", max_lr=1e-3, total_steps=501)),
    case("OneCycleLR-still", S("OneCycleLR", max_lr=0.1, total_steps=700, cycle_momentum=False, pct_start=0.0)),
    case("SWALR", S("SWALR", swa_lr=0.05)),
    case("SWALR-each", S("SWALR", swa_lr=[0.2, 1e-4], anneal_epochs=333, anneal_strategy="linear")),
    case("SWALR-long", S("SWALR", swa_lr=0.01, anneal_epochs=480)),
    case("SWALR-0", S("SWALR", swa_lr=0.02, anneal_epochs=0)),
]

LINEAR = S("LinearLR", start_factor=0.1, total_iters=50)
COMPOSITE = [
    case("SequentialLR", S("SequentialLR", schedulers=[LINEAR, S("CosineAnnealingLR", T_max=450)], milestones=[50])),
    case("SequentialLR-constant", S("SequentialLR", milestones=[20], schedulers=[
        S("ConstantLR", factor=0.1, total_iters=20), S("ExponentialLR", gamma=0.99)])),
    case("SequentialLR-many", S("SequentialLR", milestones=[30, 200, 203, 350], schedulers=[
        LINEAR, S("CosineAnnealingWarmRestarts", T_0=11, T_mult=2), S("StepLR", step_size=1, gamma=0.9),
        S("PolynomialLR", total_iters=100, power=1.3), S("MultiStepLR", milestones=[0, 20, 40], gamma=0.3)])),
    case("SequentialLR-cycles", S("SequentialLR", milestones=[40, 240], schedulers=[
        S("ExponentialLR", gamma=0.9), S("CyclicLR", base_lr=0.01, max_lr=0.2, step_size_up=33),
        S("OneCycleLR", max_lr=0.5, total_steps=300)])),
    case("SequentialLR-recursive", S("SequentialLR", milestones=[13, 100, 180], schedulers=[
        S("MultiplicativeLR", lr_lambda=SLOW), S("SWALR", swa_lr=0.03, anneal_epochs=60),
        S("MultiplicativeLR", lr_lambda=SLOW), S("LambdaLR", lr_lambda=WAVE)])),
    case("SequentialLR-at-0", S("SequentialLR", milestones=[0, 60], schedulers=[
        S("LinearLR", start_factor=0.1, total_iters=0), S("ExponentialLR", gamma=0.99), S("StepLR", step_size=50)])),
    case("SequentialLR-nested", S("SequentialLR", milestones=[90], schedulers=[
        S("SequentialLR", milestones=[30], schedulers=[LINEAR, S("ExponentialLR", gamma=0.98)]),
        S("StepLR", step_size=50, gamma=0.7)])),
    case("SequentialLR-chained", S("SequentialLR", milestones=[77], schedulers=[
        S("ChainedScheduler", schedulers=[S("ConstantLR", factor=0.5, total_iters=30), S("ExponentialLR", gamma=0.98)]),
        S("PolynomialLR", total_iters=400, power=0.5)])),
    case("ChainedScheduler", S("ChainedScheduler", schedulers=[
        S("ConstantLR", factor=0.1, total_iters=90), S("ExponentialLR", gamma=0.995)])),
    case("ChainedScheduler-many", S("ChainedScheduler", schedulers=[
        LINEAR, S("CosineAnnealingLR", T_max=60, eta_min=1e-4), S("StepLR", step_size=80, gamma=0.8),
        S("MultiStepLR", milestones=[100, 333], gamma=0.5), S("PolynomialLR", total_iters=490)])),
    case("ChainedScheduler-lambda", S("ChainedScheduler", schedulers=[
        S("LambdaLR", lr_lambda=WAVE), S("MultiplicativeLR", lr_lambda=SLOW), S("ExponentialLR", gamma=0.9)])),
    case("ChainedScheduler-sequential", S("ChainedScheduler", schedulers=[
        S("SequentialLR", milestones=[50], schedulers=[LINEAR, S("ExponentialLR", gamma=0.99)]),
        S("StepLR", step_size=100, gamma=0.5)])),
]

PLATEAU = [
    case("ReduceLROnPlateau", S("ReduceLROnPlateau"), metric="falling"),
    case("ReduceLROnPlateau-min-abs", S("ReduceLROnPlateau", factor=0.5, patience=3, threshold=0.125, threshold_mode="abs",
                                        cooldown=7, min_lr=[1e-3, 1e-4]), metric="falling"),
    case("ReduceLROnPlateau-max-rel", S("ReduceLROnPlateau", mode="max", factor=0.9, patience=0, threshold=0.01,
                                        min_lr=1e-5), metric="rising"),
    case("ReduceLROnPlateau-max-abs", S("ReduceLROnPlateau", mode="max", factor=0.7, patience=2, threshold=0.5,
                                        threshold_mode="abs", eps=1e-3), metric="rising"),
    case("ReduceLROnPlateau-nan", S("ReduceLROnPlateau", factor=0.8, patience=5, cooldown=2), metric="broken"),
]

RESUMED = [case(f"{name}-last-epoch", S(name, **arguments), last_epoch=41) for name, arguments in {
    "LambdaLR": {"lr_lambda": WAVE}, "MultiplicativeLR": {"lr_lambda": SLOW}, "StepLR": {"step_size": 6},
    "MultiStepLR": {"milestones": [42, 60]}, "ConstantLR": {"total_iters": 42}, "LinearLR": {"total_iters": 100},
    "ExponentialLR": {"gamma": 0.99}, "PolynomialLR": {"total_iters": 200}, "CosineAnnealingLR": {"T_max": 100},
    "CosineAnnealingWarmRestarts": {"T_0": 60, "T_mult": 2}, "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 30},
    "SWALR": {"swa_lr": 0.05},
}.items()]

FRACTIONS = [case(f"{each['name']}-fractions", each["scheduler"], fractions=True)
             for each in SIMPLE if each["name"].startswith("CosineAnnealingWarm")]

TORCH = SIMPLE + COMPOSITE + PLATEAU + RESUMED + FRACTIONS

WARM = {"num_warmup_steps": 60, "num_training_steps": 450}
PRACTICE = [
    adam("constant", S("constant")),
    adam("constant_with_warmup", S("constant_with_warmup", num_warmup_steps=123)),
    adam("linear", S("linear", **WARM)),
    adam("linear-0", S("linear", num_warmup_steps=0, num_training_steps=500)),
    adam("cosine", S("cosine", **WARM)),
    adam("cosine-waves", S("cosine", num_cycles=1.75, **WARM)),
    adam("cosine_with_restarts", S("cosine_with_restarts", **WARM)),
    adam("cosine_with_restarts-5", S("cosine_with_restarts", num_cycles=5, **WARM)),
    adam("polynomial", S("polynomial", **WARM)),
    adam("polynomial-power", S("polynomial", lr_end=1e-5, power=2.5, **WARM)),
    adam("inverse_sqrt", S("inverse_sqrt", num_warmup_steps=60)),
    adam("inverse_sqrt-0", S("inverse_sqrt", num_warmup_steps=0)),
    adam("inverse_sqrt-timescale", S("inverse_sqrt", num_warmup_steps=60, timescale=25)),
    adam("cosine_with_min_lr", S("cosine_with_min_lr", min_lr=1e-5, **WARM)),
    adam("cosine_with_min_lr-rate", S("cosine_with_min_lr", min_lr_rate=0.1, num_cycles=0.7, **WARM)),
    adam("cosine_warmup_with_min_lr", S("cosine_warmup_with_min_lr", min_lr_rate=0.1, **WARM)),
    adam("cosine_warmup_with_min_lr-start", S("cosine_warmup_with_min_lr", min_lr=1e-5, warmup_lr_rate=0.2, **WARM)),
    adam("warmup_stable_decay", S("warmup_stable_decay", num_decay_steps=200, **WARM)),
    adam("warmup_stable_decay-linear", S("warmup_stable_decay", num_warmup_steps=50, num_stable_steps=200, num_decay_steps=220,
                                         warmup_type="cosine", decay_type="linear", min_lr_ratio=0.1)),
    adam("warmup_stable_decay-sqrt", S("warmup_stable_decay", num_warmup_steps=50, num_stable_steps=200, num_decay_steps=220,
                                       warmup_type="1-sqrt", decay_type="1-sqrt", min_lr_ratio=0.01)),
    case("greedy", S("greedy", patience=3, factor=0.9, min_lr=1e-4), metric="falling"),
    case("greedy-smooth", S("greedy", patience=2, factor=0.7, min_lr=[0.01, 1e-3], max_lr=[0.5, 0.1], smooth=True, window_size=9,
                            cooldown=3, warmup=2, reset_start=3), metric="broken"),
    case("greedy-max", S("greedy", mode="max", threshold=0.01, threshold_mode="rel", patience=1, reset_start=7, min_lr=0.002),
         metric="rising"),
    case("TanhLR", S("TanhLR", T_max=480)),
    case("TanhLR-bounds", S("TanhLR", T_max=333, lb=-5.0, ub=2.5, eta_min=1e-4)),
    case("RexLR", S("RexLR", total_iters=490)),
    case("RexLR-min", S("RexLR", total_iters=333, eta_min=1e-4), lrs=(0.1, 0.1)),
]


# ---- Making and running one.

def loaded(module, file):
    """One file of a package, without the package: what it imports from there is a stub."""
    package = module.rpartition(".")[0]
    found = next(path for path in (pathlib.Path(folder, file) for folder in sys.path) if path.exists())
    spec = importlib.util.spec_from_file_location(module, found)

    for stub in (package, package + ".trainer_pt_utils", package + ".trainer_utils", package + ".utils"):
        sys.modules.setdefault(stub, unittest.mock.MagicMock(__spec__=None))
    sys.modules[package].__path__ = [str(found.parent)]
    sys.modules[module] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[module])
    return sys.modules[module]


def from_transformers(optimizer, name, arguments):
    source = loaded("transformers.optimization", "transformers/optimization.py")
    return {
        "constant": source.get_constant_schedule,
        "constant_with_warmup": source.get_constant_schedule_with_warmup,
        "linear": source.get_linear_schedule_with_warmup,
        "cosine": source.get_cosine_schedule_with_warmup,
        "cosine_with_restarts": source.get_cosine_with_hard_restarts_schedule_with_warmup,
        "polynomial": source.get_polynomial_decay_schedule_with_warmup,
        "inverse_sqrt": source.get_inverse_sqrt_schedule,
        "cosine_with_min_lr": source.get_cosine_with_min_lr_schedule_with_warmup,
        "cosine_warmup_with_min_lr": source.get_cosine_with_min_lr_schedule_with_warmup_lr_rate,
        "warmup_stable_decay": source.get_wsd_schedule,
        "greedy": source.GreedyLR,
    }[name](optimizer, **arguments)


class Stepped:
    """timm's scheduler, which is told the epoch, behind torch's `step`."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        self.last_epoch = 0
        wrapped.step(0)

    def step(self):
        self.last_epoch += 1
        self.wrapped.step(self.last_epoch)


class Rex:
    """pytorch_optimizer's REXScheduler, which has one maximum for all groups and begins a step late, behind torch's `step`."""

    def __init__(self, optimizer, total_iters, eta_min=0.0):
        self.optimizer = optimizer
        source = loaded("pytorch_optimizer.lr_scheduler.rex", "pytorch_optimizer/lr_scheduler/rex.py")
        base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.each = [source.REXScheduler(optimizer, total_iters, max_lr=lr, min_lr=eta_min) for lr in base_lrs]
        for one in self.each:
            one.step_t = 0
        self.step()

    def step(self):
        values = [one.step() for one in self.each]
        for group, value in zip(self.optimizer.param_groups, values):
            group["lr"] = value


def table(factors):
    return lambda epoch: factors[min(epoch, len(factors) - 1)]


def make(optimizer, described, last_epoch=-1):
    arguments = dict(described)
    name = arguments.pop("name")
    if "lr_lambda" in arguments:
        given = arguments["lr_lambda"]
        arguments["lr_lambda"] = [table(f) for f in given] if isinstance(given[0], list) else table(given)
    if "schedulers" in arguments:
        arguments["schedulers"] = [make(optimizer, part) for part in arguments["schedulers"]]
    if name == "ChainedScheduler":
        return lr_scheduler.ChainedScheduler(arguments["schedulers"], optimizer)
    if name == "TanhLR":
        source = loaded("timm.scheduler.tanh_lr", "timm/scheduler/tanh_lr.py")
        arguments = {{"T_max": "t_initial", "eta_min": "lr_min"}.get(key, key): value for key, value in arguments.items()}
        return Stepped(source.TanhLRScheduler(optimizer, **arguments))
    if name == "RexLR":
        return Rex(optimizer, **arguments)
    if name[0].islower():
        return from_transformers(optimizer, name, arguments)
    if last_epoch != -1:
        arguments["last_epoch"] = last_epoch
    return getattr(swa_utils if name == "SWALR" else lr_scheduler, name)(optimizer, **arguments)


def begin(each):
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in each["lrs"]]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(parameters, each["lrs"])]
    if "last_epoch" in each:
        for group in groups:
            group["initial_lr"] = group["lr"]
            group["lr"] /= 2
    # The first group's is what transformers finds as the optimizer's default.
    optimizer = (torch.optim.SGD(groups, lr=each["lrs"][0], momentum=0.9) if each["optimizer"] == "SGD"
                 else torch.optim.AdamW(groups, lr=each["lrs"][0]))
    return optimizer, make(optimizer, each["scheduler"], each.get("last_epoch", -1))


def advance(each, optimizer, made, step):
    optimizer.step()
    if "metric" in each:
        made.step(metric(step, each["metric"]))
    elif "fractions" in each:
        made.step((step + 1) * 11 / 32)
    else:
        made.step()


def watched(optimizer):
    return [value for group in optimizer.param_groups
            for value in (float(group["lr"]), group["betas"][0] if "betas" in group else group["momentum"])]


def run(each, optimizer, made, first, states=None):
    rows = [watched(optimizer)]
    for step in range(first, STEPS):
        advance(each, optimizer, made, step)
        rows.append(watched(optimizer))
        if states is not None and step + 1 == SAVED:
            states.append((json.loads(json.dumps(made.state_dict())), optimizer.state_dict()))
    return rows


def fields(optimizer):
    """What a group holds beside its options."""
    return [{key: value for key, value in group.items() if key not in {**optimizer.defaults, "params": None}}
            for group in optimizer.param_groups]


def record(each):
    optimizer, made = begin(each)
    has_state = hasattr(made, "state_dict")
    states = [] if has_state else None
    rows = run(each, optimizer, made, 0, states)
    blocks = [[value for row in rows[i:i + BLOCK] for value in row] for i in range(0, len(rows), BLOCK)]
    result = {**each, "hashes": "".join(map(hashed, blocks)),
              "bits": {str(i): [f"{bits(value):016x}" for value in rows[i]] for i in (0, 1, SAVED, STEPS)}}
    if has_state:
        state, groups = states[0]
        optimizer, made = begin(each)
        optimizer.load_state_dict(groups)
        result["fields"] = fields(optimizer)
        if not callable(getattr(made, "lr_lambdas", [None])[0]) or each in TORCH:
            made.load_state_dict(made_ready(made, copy.deepcopy(state)))
            assert run(each, optimizer, made, SAVED) == rows[SAVED:], each["name"]
        result["state"] = state
    if hasattr(made, "_get_closed_form_lr") and "last_epoch" not in each:
        optimizer, made = begin(each)
        closed = []
        for made.last_epoch in range(STEPS + 1):
            try:
                closed += made._get_closed_form_lr()
            except ZeroDivisionError:
                break
        if len(closed) == len(each["lrs"]) * (STEPS + 1):
            result["closed"] = hashed(closed)
    return result


def made_ready(made, state):
    """JSON turned a Counter's keys into strings; nothing else changed on the way."""
    if "milestones" in state:
        state = {**state, "milestones": type(made.milestones)({int(k): v for k, v in state["milestones"].items()})}
    if "_schedulers" in state:
        state = {**state, "_schedulers": [made_ready(m, s) for m, s in zip(made._schedulers, state["_schedulers"])]}
    return state


def versions(names):
    from importlib.metadata import version
    found = {"torch": torch.__version__, "libc": " ".join(platform.libc_ver())}
    for name in names:
        try:
            found[name] = version(name)
        except Exception:
            found[name] = "a file"
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["torch", "practice"])
    parser.add_argument("--out", default=pathlib.Path(__file__).parent, type=pathlib.Path)
    parser.add_argument("paths", nargs="*")
    arguments = parser.parse_args()
    sys.path += arguments.paths
    warnings.simplefilter("ignore")
    cases, sources = (TORCH, []) if arguments.what == "torch" else (PRACTICE, ["transformers", "timm", "pytorch_optimizer"])
    head = json.dumps(versions(sources))[1:-1]
    lines = ",\n".join(json.dumps(record(each)) for each in cases)
    (arguments.out / f"{arguments.what}.json").write_text("{" + head + ', "cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
