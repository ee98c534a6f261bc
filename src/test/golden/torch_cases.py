"""The golden cases of torch.optim."""
import contextlib
import inspect

import torch

from cases import (ABSENT, FACTORED, FACTORED_LARGE, FACTORED_MISSING, FACTORED_SHAPES, LARGE, LERP, MATRICES, MIDDLE, MULTI_STEP_LR, NAMED, OTHERS, SIX,
                   STEP_LR, TO_ZERO, both, case, near, pairs, rule_cases)


def make(optimizer, groups, defaults):
    """The optimizer of a case, on the for-loop path."""
    kind = getattr(torch.optim, optimizer)
    loop = {path: False for path in ("foreach", "fused") if path in inspect.signature(kind).parameters}     # few can be fused
    return kind(groups, **defaults, **loop)


def sgd_cases():
    def sgd(name, defaults, **kwargs):
        return both("SGD", name, defaults, **kwargs)

    heavy = {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    groups = [(["vector", "three"], {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.05}),
              (["matrix"], {"maximize": True, "dampening": 0.25}),
              (["scalar", "seven"], {"momentum": 0, "lr": 0.003}),
              (["one"], {"lr": 0.0, "nesterov": True})]
    return [
        *sgd("plain", {"lr": 0.1}),
        *sgd("defaults", {}, tensors=OTHERS),
        *sgd("momentum", {"lr": 0.1, "momentum": 0.9}),
        *sgd("momentum-decay-maximize", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "maximize": True}, tensors=OTHERS),
        *sgd("dampening", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}, kind="wide"),
        *sgd("dampening-decay-maximize", {"lr": 0.1, "momentum": 0.5, "dampening": 0.7, "weight_decay": 0.1, "maximize": True}),
        *sgd("nesterov", {"lr": 0.05, "momentum": 0.9, "nesterov": True}, kind="wide"),
        *sgd("nesterov-maximize", {"lr": 0.05, "momentum": 0.99, "nesterov": True, "maximize": True}, tensors=OTHERS),
        *sgd("nesterov-decay", heavy, kind="constant", steps=50),
        *sgd("decay-wide", {"lr": 0.03, "weight_decay": 0.3}, kind="wide", tensors=OTHERS),
        *sgd("dampening-only", {"lr": 0.01, "dampening": 0.5, "weight_decay": 0.2}, tensors=OTHERS),
        *sgd("maximize", {"lr": 0.001, "maximize": True}, kind="constant"),
        *pairs("SGD", {"lr": [0.01, 0.0], "momentum": [0, 0.9], "dampening": [0, 0.3], "weight_decay": [0, 0.1], "nesterov": [False, True],
                       "maximize": [False, True]}, lambda o: not o["nesterov"] or o["momentum"] > 0 and o["dampening"] == 0),
        *sgd("groups", {"lr": 0.05, "momentum": 0.9}, tensors=SIX, groups=groups, scheduler=STEP_LR, steps=50),
        *sgd("multistep", heavy, scheduler=MULTI_STEP_LR),
        *sgd("lr-to-zero", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}, kind="wide", scheduler=TO_ZERO),
        *sgd("absent", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}, tensors=NAMED, absent=ABSENT),
        *sgd("special", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, kind="special"),
        case("SGD", "zero", "float32", {"lr": 0.1, "momentum": 0.9, "maximize": True}, kind="zero"),
        case("SGD", "large", "float32", heavy, tensors=LARGE),
    ]


def adam_cases(optimizer):
    """Adam and AdamW share their flags; Adam also has `decoupled_weight_decay`, and AdamW decays by default."""
    adamw = optimizer == "AdamW"

    def adam(name, defaults, **kwargs):
        return both(optimizer, name, defaults, **kwargs)

    decay = {"weight_decay": 0.1} if adamw else {"weight_decay": 0.1, "decoupled_weight_decay": True}
    groups = [(["vector", "three"], {"lr": 0.01, "betas": MIDDLE, "amsgrad": True}),
              (["matrix"], {"weight_decay": 0.2, "maximize": True, "eps": 1e-4}),
              (["scalar", "seven"], {"weight_decay": 0.0, "betas": LERP}),
              (["one"], {"lr": 0.0})]
    cases = [
        *adam("defaults", {}),
        *adam("amsgrad-lerp-decay", {"lr": 0.01, "betas": LERP, "amsgrad": True, "weight_decay": 0.1, "eps": 1e-3}, kind="wide"),
        *adam("amsgrad-maximize-eps", {"lr": 0.002, "amsgrad": True, "maximize": True, "weight_decay": 0.0, "eps": 1e-3}),
        *adam("middle-decay-maximize", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.01, "maximize": True}, tensors=OTHERS),
        # without eps, 0 / 0 is NaN where no gradient has come yet, in torch too
        *adam("lerp-maximize", {"lr": 0.01, "betas": LERP, "maximize": True, "eps": 0.0, "weight_decay": 0.0}, tensors=OTHERS),
        *adam("middle-amsgrad", {"lr": 0.1, "betas": MIDDLE, "amsgrad": True, "weight_decay": 0.0}, kind="wide"),
        *adam("middle-eps", {"lr": 0.1, "betas": MIDDLE, "eps": 1e-3, "weight_decay": 0.0}, kind="constant", tensors=OTHERS, steps=50),
        *pairs(optimizer, {"lr": [0.01, 0.0], "betas": [MIDDLE, LERP], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1], "amsgrad": [False, True],
                           "maximize": [False, True]} | ({} if adamw else {"decoupled_weight_decay": [False, True]})),
        *adam("groups", {"lr": 0.002} | decay, tensors=SIX, groups=groups, scheduler=STEP_LR),
        *adam("lr-to-zero", {"lr": 0.01} | decay, kind="wide", scheduler=TO_ZERO),
        *adam("absent", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.01}, tensors=NAMED, absent=ABSENT),
        *adam("special", {"lr": 0.01, "weight_decay": 0.01}, kind="special"),
        case(optimizer, "zero", "float32", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.0}, kind="zero"),
    ]
    if adamw:
        return cases + [case(optimizer, "large", "float64", {"lr": 0.01, "weight_decay": 0.05}, tensors=LARGE)]
    return cases + [
        *adam("decay-wide", {"lr": 0.03, "weight_decay": 0.3}, kind="wide", tensors=OTHERS),
        *adam("multistep", {"lr": 0.01, "weight_decay": 0.1}, scheduler=MULTI_STEP_LR),
        *adam("decoupled", {"lr": 0.01, "betas": MIDDLE} | decay, tensors=OTHERS),
        *adam("decoupled-lerp-maximize", {"lr": 0.01, "betas": LERP, "maximize": True, "eps": 1e-3} | decay, kind="wide"),
        *adam("decoupled-amsgrad", {"lr": 0.01, "amsgrad": True} | decay),
        case(optimizer, "large", "float32", {"lr": 0.01, "weight_decay": 0.05}, tensors=LARGE),
    ]


def adamax_cases():
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, LERP], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1], "maximize": [False, True]}
    return pairs("Adamax", values) + rule_cases(
        "Adamax", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.01, "maximize": True}, [
            ("lerp-maximize", "constant", {"lr": 0.01, "betas": LERP, "maximize": True}),
            ("decay-eps", "wide", {"lr": 0.03, "weight_decay": 0.3, "eps": 1e-3}),
        ], [{"maximize": False}, {"betas": LERP, "eps": 1e-4}, {"lr": 0.1, "weight_decay": 0.0}], "float32")


def nadam_cases():
    decoupled = {"weight_decay": 0.1, "decoupled_weight_decay": True}
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, LERP], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1],
              "momentum_decay": [4e-3, 0.1], "decoupled_weight_decay": [False, True], "maximize": [False, True]}
    return pairs("NAdam", values) + rule_cases(
        "NAdam", {"lr": 0.01, "betas": MIDDLE, "momentum_decay": 0.1, "maximize": True} | decoupled, [
            ("lerp-decay", "wide", {"lr": 0.01, "betas": LERP, "weight_decay": 0.1, "momentum_decay": 0.02}),
            ("maximize-eps", "constant", {"lr": 0.05, "maximize": True, "eps": 1e-3}),
            ("decoupled", "normal", {"lr": 0.03} | decoupled),
        ], [{"maximize": False, "momentum_decay": 0.0}, {"betas": LERP, "weight_decay": 0.0},
            {"lr": 0.1, "decoupled_weight_decay": False}], "float64")


def radam_cases():
    """rho passes 5 at step 6 (counted from 1) by default, at step 12 with `late`, and never with `never`."""
    late, never = [0.9, 0.68], [0.9, 0.6]
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, LERP, late], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1],
              "decoupled_weight_decay": [False, True], "maximize": [False, True]}
    return pairs("RAdam", values) + rule_cases(
        "RAdam", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}, [
            ("late-decay", "normal", {"lr": 0.1, "betas": late, "weight_decay": 0.1}),
            ("lerp-maximize", "constant", {"lr": 0.01, "betas": LERP, "maximize": True}),
            ("decay-maximize-eps", "wide", {"lr": 0.03, "weight_decay": 0.3, "maximize": True, "eps": 1e-3}),
        ], [{"betas": late, "maximize": False}, {"betas": never, "weight_decay": 0.0},
            {"lr": 0.1, "decoupled_weight_decay": False}], "float32")


def adagrad_cases():
    """torch takes `initial_accumulator_value` from the constructor alone, so no group overrides it."""
    values = {"lr": [0.01, 0.0], "lr_decay": [0, 0.1], "eps": [1e-10, 1e-3], "weight_decay": [0, 0.1], "maximize": [False, True]}
    return pairs("Adagrad", values) + rule_cases(
        "Adagrad", {"lr": 0.1, "lr_decay": 0.05, "initial_accumulator_value": 0.1, "weight_decay": 0.01, "maximize": True}, [
            ("lr-decay", "constant", {"lr": 0.1, "lr_decay": 0.3}),
            ("accumulator-maximize", "wide", {"initial_accumulator_value": 0.3, "maximize": True}),
            ("decay-eps", "normal", {"lr": 0.03, "weight_decay": 0.3, "eps": 1e-3}),
        ], [{"maximize": False}, {"lr_decay": 0.0, "eps": 1e-4}, {"lr": 0.3, "weight_decay": 0.0}], "float64")


def adadelta_cases():
    values = {"lr": [1.0, 0.0], "rho": [0.9, 0.4], "eps": [1e-6, 1e-3], "weight_decay": [0, 0.1], "maximize": [False, True]}
    return pairs("Adadelta", values) + rule_cases(
        "Adadelta", {"lr": 0.3, "rho": 0.95, "weight_decay": 0.01, "maximize": True}, [
            ("rho-decay", "wide", {"rho": 0.5, "weight_decay": 0.1}),
            ("maximize-eps", "constant", {"lr": 0.5, "eps": 1e-3, "maximize": True}),
        ], [{"maximize": False}, {"rho": 0.3, "eps": 1e-4}, {"lr": 1.5, "weight_decay": 0.0}], "float32")


def rmsprop_cases():
    values = {"lr": [0.01, 0.0], "alpha": [0.99, 0.4], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1], "momentum": [0, 0.9],
              "centered": [False, True], "maximize": [False, True]}
    return pairs("RMSprop", values) + rule_cases(
        "RMSprop", {"lr": 0.003, "alpha": 0.9, "momentum": 0.9, "centered": True, "weight_decay": 0.01, "maximize": True}, [
            ("momentum-decay", "wide", {"lr": 0.003, "momentum": 0.5, "weight_decay": 0.1}),
            ("centered-lerp", "normal", {"alpha": 0.5, "centered": True}),
            ("maximize-eps", "constant", {"alpha": 0.9, "eps": 1e-3, "maximize": True}),
        ], [{"maximize": False}, {"momentum": 0, "alpha": 0.5}, {"centered": False, "weight_decay": 0.0}], "float64")


def rprop_cases():
    values = {"lr": [0.01, 0.1], "etas": [[0.5, 1.2], [0.3, 1.7]], "step_sizes": [[1e-6, 50], [5e-3, 0.05]], "maximize": [False, True]}
    return pairs("Rprop", values) + rule_cases(
        "Rprop", {"lr": 0.02, "etas": [0.4, 1.3], "step_sizes": [1e-3, 0.05], "maximize": True}, [
            ("steady", "constant", {}),         # up to the largest step size
            ("etas", "wide", {"lr": 0.1, "etas": [0.7, 1.05]}),
            ("step-sizes-maximize", "normal", {"step_sizes": [5e-3, 0.015], "maximize": True}),
        ], [{"maximize": False}, {"etas": [0.5, 1.2]}, {"lr": 0.1, "step_sizes": [1e-6, 50]}], "float32")


def asgd_cases():
    values = {"lr": [0.01, 0.0], "lambd": [1e-4, 0.1], "alpha": [0.75, 1.5], "t0": [1e6, 5], "weight_decay": [0, 0.1],
              "maximize": [False, True]}
    return pairs("ASGD", values) + rule_cases(
        "ASGD", {"lr": 0.05, "lambd": 0.1, "alpha": 0.5, "t0": 5, "weight_decay": 0.01, "maximize": True}, [
            ("average", "constant", {"t0": 5}),
            ("lambd-decay", "wide", {"lambd": 0.01, "weight_decay": 0.1}),
            ("alpha-maximize", "normal", {"lr": 0.1, "alpha": 0.9, "t0": 10, "maximize": True}),
        ], [{"maximize": False, "t0": 0}, {"lambd": 0.0, "t0": 1e6}, {"lr": 0.1, "weight_decay": 0.0, "alpha": 1.5}], "float64")


@contextlib.contextmanager
def unrounded():
    """Muon with the products in the parameter's type, instead of bfloat16."""
    rounded = torch.Tensor.bfloat16
    torch.Tensor.bfloat16 = torch.Tensor.clone
    try:
        yield
    finally:
        torch.Tensor.bfloat16 = rounded


def muon_cases():
    """Momentum is exact; parameters are compared at the end: with torch's bfloat16 products within 1 % of their tensor's largest, with
    unrounded ones within 1e-5 (float32) and 1e-10."""
    def bounded(name, defaults, bounds, **kwargs):
        return [case("Muon", name, dtype, defaults, **({"tensors": MATRICES} | kwargs)) | {"bound": {"columns": ["param"], "ulp": ulp}}
                for dtype, ulp in zip(("float32", "float64"), bounds)]

    def muon(name, defaults, **kwargs):
        return [c | {"unrounded": True} for c in bounded(name, defaults, (1e-5 * 2 ** 23, 1e-10 * 2 ** 52), **kwargs)]

    percent = 0.01 * 2 ** 23, 0.01 * 2 ** 52
    groups = [(["one", "row", "column"], {"lr": 0.05, "nesterov": False}), (["square"], {"adjust_lr_fn": "match_rms_adamw", "lr": 0.01}),
              (["wide", "long"], {"momentum": 0.5, "weight_decay": 0.3}),
              (["tall", "twin"], {"ns_coefficients": [2.0, -1.5, 0.5], "ns_steps": 7, "eps": 0.1})]
    absent = sorted([[s, "twin"] for s in range(5)] + [[s, "row"] for s in range(25, 30)] + [[s, "long"] for s in (7, 12)])
    return [
        *bounded("torch", {}, percent),
        *bounded("torch-match-rms", {"lr": 0.002, "adjust_lr_fn": "match_rms_adamw"}, percent),
        *muon("defaults", {}),
        *muon("original", {"lr": 0.02, "weight_decay": 0.0, "adjust_lr_fn": "original"}),
        *muon("match-rms", {"lr": 0.01, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
        *muon("groups", {"lr": 0.02}, groups=groups, scheduler=STEP_LR),
        *muon("absent", {"lr": 0.02}, absent=absent, scheduler=MULTI_STEP_LR),
        *muon("constant", {"lr": 0.02, "ns_steps": 2}, kind="constant"),
        *muon("zero", {"lr": 0.02}, kind="zero"),
    ]


def adafactor_cases():
    def factored(name, defaults, **kwargs):
        return near("Adafactor", name, defaults, FACTORED, **({"tensors": FACTORED_SHAPES} | kwargs))

    groups = [(["scalar", "one", "row"], {"lr": 0.1, "maximize": True}), (["vector", "matrix"], {"eps": [0.01, 0.1], "d": 3.0}),
              (["column", "long", "batch"], {"beta2_decay": -0.3, "weight_decay": 0.1})]
    return [
        *factored("defaults", {}),
        *factored("decay", {"lr": 0.05, "weight_decay": 0.1, "eps": [1e-10, 0.01]}, scheduler=STEP_LR),
        *factored("groups", {"lr": 0.02}, groups=groups),
        *factored("absent", {"lr": 0.02, "weight_decay": 0.01}, absent=FACTORED_MISSING, scheduler=MULTI_STEP_LR),
        *factored("constant", {"lr": 0.1, "d": 1.5}, kind="constant"),
        *factored("zero", {"lr": 0.1, "weight_decay": 0.1}, kind="zero"),
        *factored("blocks", {"lr": 0.02}, tensors=FACTORED_LARGE, steps=3),
    ]


def clip_cases():
    """Gradients clipped before each step. Of the norm of infinity, and where nothing is to be clipped, all bits are the same; torch's
    Euclidean norm, whose sums round, is only near."""
    def clipped(optimizer, name, defaults, clip, **kwargs):
        return both(optimizer, f"clip-{name}", defaults, clip=clip, **kwargs)

    def clipped_near(optimizer, name, defaults, clip, **kwargs):
        return near(optimizer, f"clip-{name}", defaults, {"float32": 2e-6, "float64": 2e-15}, clip=clip, **kwargs)

    heavy = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    return [
        *clipped("SGD", "infinity", heavy, {"max_norm": 0.01, "norm_type": "inf"}),
        *clipped("SGD", "infinity-wide", heavy, {"max_norm": 3.0, "norm_type": "inf"}, kind="wide", tensors=OTHERS),
        *clipped("SGD", "infinity-above", heavy, {"max_norm": 100.0, "norm_type": "inf"}, tensors=OTHERS),
        *clipped("SGD", "above", heavy, {"max_norm": 1000.0}),
        *clipped("AdamW", "infinity-absent", {"lr": 0.01, "eps": 1e-3}, {"max_norm": 0.02, "norm_type": "inf"}, tensors=NAMED, absent=ABSENT),
        *clipped_near("SGD", "euclidean", heavy, {"max_norm": 0.25}),
        *clipped_near("SGD", "sum", heavy, {"max_norm": 0.5, "norm_type": 1}),
        *clipped_near("SGD", "cubic", heavy, {"max_norm": 0.1, "norm_type": 3.0}),
        *clipped_near("AdamW", "euclidean", {"lr": 0.01, "eps": 1e-3}, {"max_norm": 0.05, "norm_type": 2.0}),
    ]


CASES = {"sgd": sgd_cases(), "adam": adam_cases("Adam"), "adamw": adam_cases("AdamW"), "adamax": adamax_cases(), "nadam": nadam_cases(),
         "radam": radam_cases(), "adagrad": adagrad_cases(), "adadelta": adadelta_cases(), "rmsprop": rmsprop_cases(),
         "rprop": rprop_cases(), "asgd": asgd_cases(),
         "muon": muon_cases(), "adafactor": adafactor_cases(), "clip": clip_cases()}
