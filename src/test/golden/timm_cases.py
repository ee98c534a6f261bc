"""The golden cases of what is defined as in timm (pytorch-image-models)."""
import functools
import importlib.metadata
import inspect

import sources
import torch_cases
from cases import (ABSENT, FLAT, LARGE, LERP, MIDDLE, MULTI_STEP_LR, NAMED, NEAR, ROWS, STEP_LR, THREE, TO_ZERO, both, case, exact_in_both,
                   near, pairs, rule_cases)

EARLY, LATE, NEVER = [0.9, 0.4], [0.9, 0.68], [0.9, 0.6]        # betas
MODULES = {"RMSpropTF": "rmsprop_tf"}


def adopt_options(options):
    """timm's name for the authors' `decouple`."""
    return {"decoupled" if key == "decouple" else key: value for key, value in options.items()}


@functools.cache
def cautious_adamw():
    """timm's AdamW, whose only other difference to torch's is how it takes the average."""
    module = sources.timm("adamw")
    text = inspect.getsource(module._single_tensor_adamw)
    timms, torchs = "exp_avg.mul_(beta1).add_(grad, alpha=1 - beta1)", "exp_avg.lerp_(grad, 1 - beta1)"
    assert text.count(timms) == 1
    exec(text.replace(timms, torchs), module.__dict__)
    return module.AdamWLegacy


def cautious_sgd(groups, defaults):
    """timm's SGDW, which without its weight decay is torch's SGD, with torch's."""
    def l2(options):
        return {"l2" if key == "weight_decay" else key: value for key, value in options.items()}

    def penalize(group, p):
        if group["l2"] != 0:
            sign = -1 if group["maximize"] else 1       # it has yet to turn the gradient's
            p.grad.mul_(sign).add_(p.detach(), alpha=group["l2"]).mul_(sign)
    return sources.construct(sources.timm("sgdw").SGDW, [l2(g) for g in groups], {"l2": 0.0} | l2(defaults), penalize)


def lookahead(optimizer, groups, defaults):
    options = {key.removeprefix("lookahead_"): value for key, value in defaults.items() if key.startswith("lookahead_")}
    rest = {key: value for key, value in defaults.items() if not key.startswith("lookahead_")}
    around = sources.timm("lookahead").Lookahead(torch_cases.make(optimizer, groups, rest), **options)
    around.state = around._base_optimizer.state
    return around


def mars(groups, defaults):
    optimizer = sources.construct(sources.timm("mars").Mars, groups, defaults)
    if all(g["mars_type"] == "lion" and g["optimize_1d"] for g in optimizer.param_groups):
        optimizer.unrecorded = ("exp_avg_sq",)  # which stays zero
    return optimizer


def make(optimizer, groups, defaults):
    """The optimizer of a case, on the for-loop path."""
    if any(key.startswith("lookahead_") for key in defaults):
        return lookahead(optimizer, groups, defaults)
    if optimizer in SPECIAL:
        return SPECIAL[optimizer](groups, defaults)
    module = sources.timm(MODULES.get(optimizer, optimizer.lower()))
    if optimizer == "ADOPT":                    # timm's arithmetic is the authors'; their default exponent is another
        return sources.construct(module.Adopt, [adopt_options(g) for g in groups], {"clip_exp": 0.25} | adopt_options(defaults))
    kind = getattr(module, optimizer)
    return sources.construct(sources.per_parameter(kind) if optimizer == "Adan" else kind, groups, defaults)


SPECIAL = {"AdamW": lambda groups, defaults: sources.construct(cautious_adamw(), groups, defaults), "SGD": cautious_sgd, "MARS": mars}


def origin(file):
    names = {"rmsproptf": "rmsprop_tf", "caution": "{adamw,sgdw,lion,adopt,laprop}"}.get(file, file)
    return f"timm {importlib.metadata.version('timm')}, timm/optim/{names}.py"


def lion_cases():
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, EARLY], "weight_decay": [0, 0.1], "maximize": [False, True]}
    return pairs("Lion", values) + rule_cases(
        "Lion", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True}, [
            ("lerp-decay", "wide", {"lr": 0.03, "betas": EARLY, "weight_decay": 0.3}),
            ("maximize", "constant", {"lr": 0.002, "maximize": True}),
        ], [{"maximize": False}, {"betas": EARLY}, {"lr": 0.1, "weight_decay": 0.0}], "float32")


def adabelief_cases():
    """Its length passes 5 at step 6 (counted from 1) by default, at step 12 with LATE, and never with NEVER. Groups with the betas of
    the constructor share what it caches of their rectification, which is right as long as `degenerated_to_sgd` is the same."""
    plain = {"rectify": False, "amsgrad": True}
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, LATE], "eps": [1e-16, 1e-3], "weight_decay": [0, 0.1], "amsgrad": [False, True],
              "decoupled_decay": [False, True], "fixed_decay": [False, True], "rectify": [False, True], "degenerated_to_sgd": [False, True],
              "maximize": [False, True]}
    return pairs("AdaBelief", values) + rule_cases(
        "AdaBelief", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True}, [
            ("amsgrad", "normal", plain),
            ("amsgrad-l2", "wide", plain | {"lr": 0.01, "betas": LERP, "decoupled_decay": False, "weight_decay": 0.1}),
            ("fixed-decay-maximize", "constant",
             {"rectify": False, "fixed_decay": True, "weight_decay": 0.01, "eps": 1e-8, "maximize": True}),
            ("rectified-amsgrad", "normal", {"amsgrad": True, "betas": LATE}),
            ("idle-l2", "wide", {"degenerated_to_sgd": False, "betas": LATE, "decoupled_decay": False, "weight_decay": 0.1}),
            ("never-fixed", "normal", {"betas": NEVER, "fixed_decay": True, "weight_decay": 0.01}),
        ], [{"maximize": False, "rectify": False}, {"betas": LATE, "degenerated_to_sgd": False},
            {"lr": 0.1, "decoupled_decay": False}], "float64")


def adan_cases():
    values = {"lr": [0.01, 0.0], "betas": [[0.95, 0.9, 0.98], [0.3, 0.0, 0.9]], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1],
              "no_prox": [False, True], "maximize": [False, True]}
    return pairs("Adan", values) + rule_cases(
        "Adan", {"lr": 0.01, "betas": [0.95, 0.9, 0.98], "weight_decay": 0.1, "no_prox": True, "maximize": True}, [
            ("decay-eps", "wide", {"lr": 0.03, "weight_decay": 0.3, "eps": 1e-3}),
            ("no-prox", "constant", {"lr": 0.01, "betas": [0.5, 0.3, 0.9], "weight_decay": 0.1, "no_prox": True}),
            ("maximize", "normal", {"betas": [0.0, 0.5, 0.0], "maximize": True}),
        ], [{"maximize": False}, {"betas": [0.3, 0.0, 0.9], "no_prox": False}, {"lr": 0.1, "weight_decay": 0.0}], "float32")


def adopt_cases():
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, LERP], "eps": [1e-6, 1e-1], "clip_exp": [0.25, 0.0, None], "weight_decay": [0, 0.1],
              "decouple": [False, True], "maximize": [False, True]}
    return pairs("ADOPT", values) + rule_cases(
        "ADOPT", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "decouple": True, "maximize": True}, [
            ("l2-clip", "wide", {"lr": 0.03, "weight_decay": 0.3, "clip_exp": 0.333}),
            ("unclipped-maximize", "normal", {"clip_exp": None, "eps": 1e-3, "maximize": True}),
            ("lerp", "constant", {"lr": 0.01, "betas": LERP, "clip_exp": 0.0}),
        ], [{"maximize": False, "clip_exp": None}, {"betas": LERP, "weight_decay": 0.0}, {"lr": 0.1, "decouple": False}], "float64")


def laprop_cases():
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, LERP], "eps": [1e-15, 1e-3], "weight_decay": [0, 0.1], "maximize": [False, True]}
    return pairs("LaProp", values) + rule_cases(
        "LaProp", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True}, [
            ("betas-decay", "wide", {"lr": 0.03, "betas": LERP, "weight_decay": 0.3}),
            ("maximize-eps", "constant", {"lr": 0.01, "eps": 1e-3, "maximize": True}),
        ], [{"maximize": False}, {"betas": LERP, "eps": 1e-4}, {"lr": 0.1, "weight_decay": 0.0}], "float32")


def rmsproptf_cases():
    values = {"lr": [0.01, 0.0], "alpha": [0.9, 0.4], "eps": [1e-10, 1e-3], "weight_decay": [0, 0.1], "momentum": [0, 0.9],
              "centered": [False, True], "decoupled_decay": [False, True], "lr_in_momentum": [False, True], "maximize": [False, True]}
    full = {"lr": 0.003, "alpha": 0.95, "momentum": 0.9, "centered": True, "weight_decay": 0.01, "eps": 1e-4, "maximize": True}
    return pairs("RMSpropTF", values) + rule_cases(
        "RMSpropTF", full, [
            ("momentum-decay", "wide", {"lr": 0.003, "momentum": 0.5, "weight_decay": 0.1, "decoupled_decay": True}),
            ("centered", "normal", {"alpha": 0.5, "centered": True}),
            ("maximize-eps", "constant", {"eps": 1e-3, "momentum": 0.9, "lr_in_momentum": False, "maximize": True}),
        ], [{"maximize": False}, {"momentum": 0, "alpha": 0.5}, {"centered": False, "decoupled_decay": True}], "float32")


def madgrad_cases():
    values = {"lr": [0.01, 0.1], "momentum": [0.9, 0.0, 0.3], "eps": [1e-6, 1e-3], "weight_decay": [0, 0.1],
              "decoupled_decay": [False, True], "maximize": [False, True]}
    return pairs("MADGRAD", values) + rule_cases(
        "MADGRAD", {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.1, "decoupled_decay": True, "maximize": True}, [
            ("l2", "wide", {"lr": 0.03, "weight_decay": 0.3}),
            ("no-momentum", "normal", {"momentum": 0.0, "eps": 1e-3, "maximize": True}),
            ("no-momentum-decay", "constant", {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.1, "decoupled_decay": True}),
        ], [{"maximize": False}, {"momentum": 0.0, "eps": 1e-4}, {"lr": 0.3, "decoupled_decay": False}], "float32")


def caution_cases():
    """`full` options of each, `variants` as in cases.rule_cases, and the options of one group per tensor of THREE."""
    def cautious(optimizer, full, variants, overrides):
        full = {"caution": True} | full
        groups = [([name], over) for name, over in zip(THREE, overrides, strict=True)]
        return [
            *both(optimizer, "caution", {"caution": True, "lr": 0.01}),
            *(c for name, kind, over in variants for c in both(optimizer, f"caution-{name}", {"caution": True} | over, tensors=FLAT, kind=kind)),
            *both(optimizer, "caution-groups", full, tensors=THREE, groups=groups, scheduler=STEP_LR, steps=50),
            *both(optimizer, "caution-lr-to-zero", full, tensors=FLAT, kind="wide", scheduler=TO_ZERO),
            *both(optimizer, "caution-absent", full, tensors=NAMED, absent=ABSENT, scheduler=MULTI_STEP_LR),
            *both(optimizer, "caution-special", full, tensors=FLAT, kind="special"),
            case(optimizer, "caution-zero", "float32", full, tensors=FLAT, kind="zero"),
            case(optimizer, "caution-large", "float32", full, tensors=LARGE, steps=5),
        ]

    plain = {"caution": False}
    return [
        *cautious("AdamW", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "amsgrad": True, "maximize": True},
                  [("lerp", "wide", {"betas": LERP, "eps": 1e-3}), ("constant", "constant", {"lr": 0.1})],
                  [plain, {"amsgrad": False}, {"maximize": False, "weight_decay": 0.0}]),
        *cautious("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True},
                  [("dampening", "wide", {"momentum": 0.5, "dampening": 0.3, "weight_decay": 0.03}),
                   ("constant", "constant", {"lr": 0.1, "momentum": 0.9})],
                  [plain, {"momentum": 0, "nesterov": False}, {"maximize": False, "nesterov": False}]),
        *cautious("Lion", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True},
                  [("early", "wide", {"betas": EARLY})], [plain, {"betas": EARLY}, {"maximize": False}]),
        *cautious("ADOPT", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True},
                  [("decoupled", "wide", {"betas": LERP, "decouple": True, "weight_decay": 0.1, "clip_exp": None})],
                  [plain, {"decouple": True}, {"maximize": False, "clip_exp": 0.1}]),
        *cautious("LaProp", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True},
                  [("lerp", "wide", {"betas": LERP, "eps": 1e-3})], [plain, {"betas": LERP}, {"maximize": False}]),
    ]


def projection_cases(optimizer, full, variants):
    """Without a limit nothing is projected, and nothing is summed up. With a limit the sums are torch's, and the cases project some
    tensors in rows, some as a whole, and some in neither way."""
    bounds = {"float32": 1e-5, "float64": 1e-13}
    groups = [(["scalar", "vector"], {}), (["row", "column"], {"delta": 0.5}), (["matrix"], {"delta": 1.1}), (["convolution"], {"delta": 2.0})]
    return [
        *both(optimizer, "unprojected", full | {"delta": 0.0}, tensors=ROWS, scheduler=STEP_LR),
        *both(optimizer, "vectors", full, tensors=FLAT, kind="special"),
        *both(optimizer, "absent-unprojected", full | {"delta": 0.0}, tensors=NAMED, absent=ABSENT, scheduler=MULTI_STEP_LR),
        *near(optimizer, "defaults", {"lr": 0.01}, bounds),
        *near(optimizer, "rows", full | {"delta": 100.0}, bounds),
        *near(optimizer, "groups", full, bounds, groups=groups, scheduler=STEP_LR, steps=50),
        *(c for name, kind, over in variants for c in near(optimizer, name, full | over, bounds, kind=kind)),
        *near(optimizer, "absent", full | {"delta": 1.1}, bounds, tensors=NAMED | {"weight": [7, 9]}, absent=ABSENT),
    ]


def adamp_cases():
    return projection_cases("AdamP", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True}, [
        ("nesterov", "normal", {"nesterov": True, "delta": 1.1, "wd_ratio": 0.3}),
        ("constant", "constant", {"delta": 2.0, "eps": 1e-3}),
    ])


def sgdp_cases():
    return projection_cases("SGDP", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}, [
        ("nesterov", "normal", {"nesterov": True, "dampening": 0.3, "delta": 1.1, "wd_ratio": 0.3}),
        ("constant", "constant", {"delta": 2.0, "eps": 1e-3, "momentum": 0.0}),
    ])


def mars_cases():
    full = {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "lr_1d_factor": 0.5, "betas_1d": [0.8, 0.9], "maximize": True}
    groups = [(["scalar", "matrix"], {"mars_type": "lion"}), (["vector", "row"], {"maximize": False, "gamma": 0.5}),
              (["column", "convolution"], {"optimize_1d": True, "weight_decay": 0.0})]
    return [
        *exact_in_both("MARS", "defaults", {}, tensors=ROWS),
        *exact_in_both("MARS", "lion", {"mars_type": "lion", "weight_decay": 0.1}, tensors=ROWS),
        *exact_in_both("MARS", "lion-alone", {"mars_type": "lion", "optimize_1d": True, "gamma": 0.1}, tensors=ROWS),
        *exact_in_both("MARS", "vectors", {"optimize_1d": True, "betas": [0.5, 0.9], "eps": 1e-3}, tensors=FLAT, kind="wide"),
        *exact_in_both("MARS", "constant", {"gamma": 0.3, "betas_1d": None}, tensors=ROWS, kind="constant"),
        *exact_in_both("MARS", "groups", full, tensors=ROWS, groups=groups, scheduler=STEP_LR, steps=50),
        *exact_in_both("MARS", "lr-to-zero", full | {"optimize_1d": True}, tensors=FLAT, kind="wide", scheduler=TO_ZERO),
        *exact_in_both("MARS", "absent", full, tensors=NAMED, absent=ABSENT, scheduler=MULTI_STEP_LR),
        *exact_in_both("MARS", "special", full, tensors=ROWS, kind="special"),
        case("MARS", "zero", "float32", {}, tensors=ROWS, kind="zero") | {"sums": "exact"},
        case("MARS", "large", "float32", full | {"optimize_1d": True}, tensors=LARGE, steps=10) | {"sums": "exact"},
        *near("MARS", "near", full, {"float32": 1e-5, "float64": 1e-13}),
    ]


def lookahead_cases():
    return [
        *both("SGD", "lookahead", {"lr": 0.1, "lookahead_alpha": 0.5, "lookahead_k": 6}, kind="special"),
        *both("SGD", "lookahead-always", {"lr": 0.1, "momentum": 0.9, "lookahead_alpha": 0.8, "lookahead_k": 1}, kind="wide"),
        *both("AdamW", "lookahead", {"lr": 0.01, "lookahead_k": 4}, tensors=THREE, scheduler=STEP_LR,
              groups=[(["scalar", "seven"], {"lr": 0.1}), (["matrix"], {"maximize": True})]),
        *both("Adam", "lookahead-absent", {"lr": 0.01, "lookahead_alpha": 0.3, "lookahead_k": 3}, tensors=NAMED, absent=ABSENT),
        case("Adam", "lookahead-large", "float32", {"lr": 0.01, "lookahead_alpha": 1.0}, tensors=LARGE, steps=8),
    ]


CASES = {"lion": lion_cases(), "adabelief": adabelief_cases(), "adan": adan_cases(), "adopt": adopt_cases(), "laprop": laprop_cases(),
         "rmsproptf": rmsproptf_cases(), "madgrad": madgrad_cases(),
         "caution": caution_cases(), "adamp": adamp_cases(), "sgdp": sgdp_cases(), "mars": mars_cases(), "lookahead": lookahead_cases()}
