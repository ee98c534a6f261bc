"""The golden cases of what is defined as in timm (pytorch-image-models)."""
import importlib.metadata

import torch

import sources
from cases import LERP, MIDDLE, pairs, rule_cases

EARLY, LATE, NEVER = [0.9, 0.4], [0.9, 0.68], [0.9, 0.6]        # betas


def per_parameter(kind):
    """Adan counts its steps for a group: here it sees the parameters one by one, each with its own count."""
    class PerParameter(kind):
        @torch.no_grad()
        def step(self):
            groups = self.param_groups
            for group in groups:
                for p in group["params"]:
                    if p.grad is not None:
                        count = self.state[p].pop("step", 0)
                        self.param_groups = [group | {"params": [p], "step": count}]
                        super().step()
                        self.state[p]["step"] = count + 1
            self.param_groups = groups
    return PerParameter


def adopt_options(options):
    """timm's name for the authors' `decouple`."""
    return {"decoupled" if key == "decouple" else key: value for key, value in options.items()}


def make(optimizer, groups, defaults):
    """The optimizer of a case, on the for-loop path."""
    module = sources.timm(optimizer.lower())
    if optimizer == "ADOPT":                    # timm's arithmetic is the authors'; their default exponent is another
        return sources.construct(module.Adopt, [adopt_options(g) for g in groups], {"clip_exp": 0.25} | adopt_options(defaults))
    kind = getattr(module, optimizer)
    return sources.construct(per_parameter(kind) if optimizer == "Adan" else kind, groups, defaults)


def origin(file):
    return f"timm {importlib.metadata.version('timm')}, timm/optim/{file}.py"


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


CASES = {"lion": lion_cases(), "adabelief": adabelief_cases(), "adan": adan_cases(), "adopt": adopt_cases(), "laprop": laprop_cases()}
