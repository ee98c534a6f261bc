"""The golden cases of what is defined as in timm (pytorch-image-models)."""
import importlib.metadata

import sources
from cases import LERP, MIDDLE, pairs, rule_cases

EARLY, LATE, NEVER = [0.9, 0.4], [0.9, 0.68], [0.9, 0.6]        # betas
MODULES = {"RMSpropTF": "rmsprop_tf"}


def adopt_options(options):
    """timm's name for the authors' `decouple`."""
    return {"decoupled" if key == "decouple" else key: value for key, value in options.items()}


def make(optimizer, groups, defaults):
    """The optimizer of a case, on the for-loop path."""
    module = sources.timm(MODULES.get(optimizer, optimizer.lower()))
    if optimizer == "ADOPT":                    # timm's arithmetic is the authors'; their default exponent is another
        return sources.construct(module.Adopt, [adopt_options(g) for g in groups], {"clip_exp": 0.25} | adopt_options(defaults))
    kind = getattr(module, optimizer)
    return sources.construct(sources.per_parameter(kind) if optimizer == "Adan" else kind, groups, defaults)


def origin(file):
    return f"timm {importlib.metadata.version('timm')}, timm/optim/{'rmsprop_tf' if file == 'rmsproptf' else file}.py"


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


CASES = {"lion": lion_cases(), "adabelief": adabelief_cases(), "adan": adan_cases(), "adopt": adopt_cases(), "laprop": laprop_cases(),
         "rmsproptf": rmsproptf_cases(), "madgrad": madgrad_cases()}
