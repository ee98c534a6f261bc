"""The golden cases of what takes sums before its update: sums are taken exactly (sums.py), or cases are only near."""
import importlib.metadata

import torch

import sources
import sums
from cases import ABSENT, LERP, MIDDLE, MULTI_STEP_LR, NAMED, STEP_LR, TO_ZERO, case

TIMM = {"LAMB": ("lamb", "Lamb"), "LARS": ("lars", "Lars"), "LARC": ("lars", "Lars"), "NovoGrad": ("nvnovograd", "NvNovoGrad")}
OPTIMI = ("warner-benjamin/optimi", "17a3d5422f3e41bb8973e1e4c9b39206c0d93b6d")
PRODIGY = ("konstmish/prodigy", "3efb213ee8af5a6bf76f28726398433a847b38e9")
DADAPTATION = ("facebookresearch/dadaptation", "c984980213a989ff7cac1e3d68c19a2257bcd571")
CLONES = {"StableAdamW": OPTIMI, "Prodigy": PRODIGY, "DAdaptAdam": DADAPTATION, "DAdaptSGD": DADAPTATION}

FLAT = {"flat": [1027]}
SHAPES = {"one": [1], "seven": [7], "vector": [17], "matrix": [13, 79]}
NEAR = {"scalar": [], "vector": [17], "matrix": [13, 7]}
LARGE = {"large": [100003]}

# How far a value may be off, over its tensor's largest: about four times as much as is seen.
BOUNDS = {"float32": 1e-6, "float64": 2e-15}
ESTIMATED = {"float32": 2e-6, "float64": 1e-14}

GROWING = {"growth_rate": 1.5}      # steady gradients, and no function that has a minimum: without a limit estimates would overflow
STILL = {"lr": 0.0, "weight_decay": 0.0}    # with weight decay it would not stand still there


def lamb():
    class PerParameter(sources.timm("lamb").Lamb):
        """It counts its steps for a group: here it sees the parameters one by one, each with its own count, but all for the norm."""
        @torch.no_grad()
        def step(self):
            groups = self.param_groups
            given = [p for group in groups for p in group["params"] if p.grad is not None]
            norm = super()._get_clip_grad_norm() if given else None
            if norm is not None and sums.are_exact():
                every = sums.total(x for p in given for x in sums.leaves(sums.doubles(p.grad) ** 2))
                norm = (torch.tensor(every).sqrt() / self.defaults["max_grad_norm"]).clamp_(min=1.0)
            self._get_clip_grad_norm = lambda: norm
            for group in groups:
                for p in group["params"]:
                    if p.grad is not None:
                        count = self.state[p].pop("step", torch.tensor(0.0, dtype=torch.float32))
                        self.param_groups = [group | {"params": [p], "step": count}]
                        super().step()
                        self.state[p]["step"] = count
            self.param_groups = groups
            del self._get_clip_grad_norm
    return PerParameter


def stable_adamw():
    class PerParameter(sources.clone(*OPTIMI, "optimi.stableadamw").StableAdamW):
        """Likewise."""
        unrecorded = ("eps_sq",)

        @torch.no_grad()
        def step(self):
            groups = self.param_groups
            for group in groups:
                for p in group["params"]:
                    if p.grad is not None:
                        count = self.state[p].get("step", torch.tensor(0.0, dtype=torch.float32))
                        betas = dict(zip(("beta1", "beta2"), group.get("betas", (group["beta1"], group["beta2"]))))
                        self.param_groups = [group | betas | {"params": [p], "step": count, "setup": True}]
                        super().step()
                        self.state[p]["step"] = count
            self.param_groups = groups
    return PerParameter


def estimating(kind, *numbers):
    class Estimating(kind):
        """Its estimates are shown as the parameters' state."""
        unrecorded = ("z",)

        def step(self):
            super().step()
            for state in self.state.values():
                if state:
                    state.update({number: self.param_groups[0][number] for number in numbers})
    return Estimating


def kind_of(optimizer):
    if optimizer == "LAMB":
        return lamb()
    if optimizer in TIMM:
        return getattr(sources.timm(TIMM[optimizer][0]), TIMM[optimizer][1])
    if optimizer == "StableAdamW":
        return stable_adamw()
    if optimizer == "Prodigy":
        return estimating(sources.clone(*PRODIGY, "prodigyopt.prodigy").Prodigy, "d", "d_max", "d_numerator")
    module = sources.clone(*DADAPTATION, {"DAdaptAdam": "dadaptation.dadapt_adam", "DAdaptSGD": "dadaptation.dadapt_sgd"}[optimizer])
    estimates = ("d", "numerator_weighted") + (("g0_norm",) if optimizer == "DAdaptSGD" else ())
    return estimating(getattr(module, optimizer), *estimates)


DEFAULTS = {"LARC": {"trust_clip": True}, "StableAdamW": {"lr": 1e-3, "triton": False}}


def make(optimizer, groups, defaults):
    """The optimizer of a case, on the for-loop path."""
    return sources.construct(kind_of(optimizer), groups, DEFAULTS.get(optimizer, {}) | defaults)


def origin(file):
    optimizer = next(cases for cases in CASES[file])["config"]["optimizer"]
    if optimizer in TIMM:
        return f"timm {importlib.metadata.version('timm')}, timm/optim/{TIMM[optimizer][0]}.py"
    return "https://github.com/{} at {}".format(*CLONES[optimizer])


def exact(optimizer, name, dtype, defaults, **kwargs):
    return case(optimizer, name, dtype, defaults, **kwargs) | {"sums": "exact"}


def exact_in_both(optimizer, name, defaults, **kwargs):
    return [exact(optimizer, name, dtype, defaults, **kwargs) for dtype in ("float32", "float64")]


def near(optimizer, name, defaults, bounds, **kwargs):
    """Cases with torch's own sums."""
    return [case(optimizer, name, dtype, defaults, **({"tensors": NEAR} | kwargs)) | {"relative": bound} for dtype, bound in bounds.items()]


def tensor_cases(optimizer, full, variants, overrides, bounds):
    """What takes sums over each tensor. `full`, `variants` and `overrides` as in cases.rule_cases."""
    groups = [([name], over) for name, over in zip(SHAPES, overrides + [{}] * (len(SHAPES) - len(overrides)), strict=True)]
    return [
        *exact_in_both(optimizer, "defaults", {}, tensors=SHAPES),
        *(c for name, kind, defaults in variants for c in exact_in_both(optimizer, name, defaults, tensors=SHAPES, kind=kind)),
        *exact_in_both(optimizer, "groups", full, tensors=SHAPES, groups=groups, scheduler=STEP_LR, steps=50),
        *exact_in_both(optimizer, "lr-to-zero", full, tensors=FLAT, kind="wide", scheduler=TO_ZERO),
        *exact_in_both(optimizer, "absent", full, tensors=NAMED, absent=ABSENT, scheduler=MULTI_STEP_LR),
        *exact_in_both(optimizer, "special", full, tensors=FLAT, kind="special"),
        exact(optimizer, "zero", "float32", {"maximize": True}, tensors=FLAT, kind="zero"),
        exact(optimizer, "large", "float32", full, tensors=LARGE),
        *near(optimizer, "near", full, bounds),
    ]


def lamb_cases():
    return tensor_cases(
        "LAMB", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "trust_clip": True, "maximize": True}, [
            ("decoupled", "wide", {"lr": 0.03, "weight_decay": 0.1, "decoupled_decay": True, "max_grad_norm": 0.5}),
            ("uncorrected", "normal", {"bias_correction": False, "grad_averaging": False, "max_grad_norm": None}),
            ("adapt", "constant", {"weight_decay": 0.0, "always_adapt": True, "eps": 1e-3}),
            ("plain", "normal", {"weight_decay": 0.0, "betas": LERP, "max_grad_norm": 100.0}),
        ], [{"maximize": False, "trust_clip": False}, {"weight_decay": 0.0}, {"lr": 0.1, "decoupled_decay": True}],
        BOUNDS)


def lars_cases():
    return tensor_cases(
        "LARS", {"lr": 0.5, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1, "maximize": True}, [
            ("adapt", "wide", {"always_adapt": True, "trust_coeff": 0.02, "eps": 1e-3}),
            ("nesterov", "constant", {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01}),
            ("plain", "normal", {"momentum": 0.9}),
            ("clip", "normal", {"lr": 0.002, "trust_clip": True, "weight_decay": 0.01, "maximize": True}),
        ], [{"maximize": False, "momentum": 0}, {"weight_decay": 0.0}, {"trust_clip": True, "trust_coeff": 3.0}],
        BOUNDS)


def larc_cases():
    return tensor_cases(
        "LARC", {"lr": 0.002, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, [
            ("adapt", "wide", {"lr": 0.001, "always_adapt": True, "trust_coeff": 0.02, "maximize": True}),
        ], [{"momentum": 0, "nesterov": False}, {"weight_decay": 0.0}, {"lr": 0.5}], BOUNDS)


def novograd_cases():
    return tensor_cases(    # in float64 timm keeps the second moment in float32
        "NovoGrad", {"lr": 0.01, "betas": LERP, "weight_decay": 0.1, "amsgrad": True, "maximize": True}, [
            ("averaging", "wide", {"grad_averaging": True, "weight_decay": 0.01}),
            ("amsgrad-eps", "normal", {"amsgrad": True, "eps": 1e-3}),
            ("constant", "constant", {"betas": MIDDLE, "maximize": True}),
        ], [{"maximize": False, "amsgrad": False}, {"weight_decay": 0.0, "grad_averaging": True}, {"lr": 0.1}],
        BOUNDS | {"float64": 2e-6})


def stable_adamw_cases():
    return tensor_cases(
        "StableAdamW", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True}, [
            ("decoupled", "wide", {"lr": 0.03, "decouple_lr": True, "max_lr": 0.1, "weight_decay": 0.01}),
            ("lerp", "normal", {"betas": LERP, "weight_decay": 0.0, "eps": 1e-3}),
            ("constant", "constant", {"lr": 0.1, "maximize": True}),
        ], [{"maximize": False}, {"betas": LERP, "eps": 1e-2}, {"lr": 0.1, "decouple_lr": True, "max_lr": 0.2}],
        BOUNDS)


def global_cases(optimizer, exact_variants, float64_variants, groups, bounds):
    """What takes sums over everything: exact for a single tensor, whose sums need not be added up in another order; in float32
    only where no reduced number meets one of a group. `groups`: of the tensors of NEAR, with defaults."""
    defaults, overrides = groups
    return [
        *(c for name, kind, over in exact_variants for c in exact_in_both(optimizer, name, over, tensors=FLAT, kind=kind, steps=50)),
        *(exact(optimizer, name, "float64", over, tensors=FLAT, kind=kind, steps=50) for name, kind, over in float64_variants),
        *exact_in_both(optimizer, "special", {}, tensors=FLAT, kind="special"),
        exact(optimizer, "large", "float32", GROWING, tensors=LARGE, kind="constant"),
        *near(optimizer, "near", GROWING, bounds, kind="constant"),
        *near(optimizer, "groups", defaults, bounds, groups=[([n], over) for n, over in zip(NEAR, overrides, strict=True)],
              scheduler=STEP_LR, kind="constant"),
        *near(optimizer, "absent", GROWING, bounds, tensors=NAMED | {"weight": [13, 7]}, absent=ABSENT, kind="constant"),
    ]


def prodigy_cases():
    return global_cases("Prodigy", [
        ("defaults", "normal", {}),
        ("l2", "constant", {"weight_decay": 0.1, "decouple": False, "betas": MIDDLE, "maximize": True, "growth_rate": 1.2}),
        ("corrected", "constant", {"use_bias_correction": True, "d0": 1e-4, "d_coef": 0.5, "eps": 1e-3}),
        ("slow", "constant", {"growth_rate": 1.02, "safeguard_warmup": True, "lr": 0.5, "beta3": 0.9}),
        ("no-average", "constant", {"betas": [0.0, 0.99], "d0": 1e-3, "use_bias_correction": True, "growth_rate": 1.1}),
    ], [("decoupled", "constant", {"weight_decay": 0.1, "lr": 2.0, "d0": 1e-3, "growth_rate": 1.1})],
        ({"weight_decay": 0.1, "d0": 1e-3, "use_bias_correction": True} | GROWING, [{"weight_decay": 0.0}, STILL, {}]),
        ESTIMATED)


def dadapt_adam_cases():
    return global_cases("DAdaptAdam", [
        ("defaults", "normal", {}),
        ("l2", "wide", {"weight_decay": 0.1, "betas": MIDDLE, "maximize": True}),
        ("corrected", "constant", {"use_bias_correction": True, "d0": 1e-4, "eps": 1e-3}),
        ("slow", "constant", {"growth_rate": 1.02, "lr": 0.5}),
    ], [("decoupled", "constant", {"weight_decay": 0.1, "decouple": True, "lr": 2.0, "d0": 1e-3, "growth_rate": 1.1})],
        ({"weight_decay": 0.1, "decouple": True, "d0": 1e-3} | GROWING, [{"weight_decay": 0.0, "layer_scale": 0.3}, STILL, {}]),
        ESTIMATED)


def dadapt_sgd_cases():
    return global_cases("DAdaptSGD", [
        ("defaults", "normal", {}),
        ("momentum", "constant", {"momentum": 0.9, "d0": 1e-4}),
        ("l2", "normal", {"weight_decay": 0.1, "momentum": 0.5, "maximize": True}),
        ("slow", "constant", {"growth_rate": 1.02, "lr": 0.5}),
    ], [], ({"d0": 1e-3} | GROWING, [{}, {"lr": 0.0}, {"maximize": True}]), ESTIMATED)


CASES = {"lamb": lamb_cases(), "lars": lars_cases(), "larc": larc_cases(), "novograd": novograd_cases(),
         "stableadamw": stable_adamw_cases(), "prodigy": prodigy_cases(), "dadaptadam": dadapt_adam_cases(),
         "dadaptsgd": dadapt_sgd_cases()}
