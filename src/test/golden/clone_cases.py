"""The golden cases of what is recorded from git repositories."""
import contextlib
import io

import torch

import sources
from cases import (ABSENT, LERP, MATRICES, MIDDLE, MULTI_STEP_LR, NAMED, ROWS, SIX, STEP_LR, THREE, TO_ZERO, both, exact, near, pairs,
                   rule_cases)

ADEMAMIX = ("apple/ml-ademamix", "c3d73c09f1287e5c33b95189bb0aa7de0a5a7667")
KOZISTR = ("kozistr/pytorch_optimizer", "84b926c80c1b624e358b8b0d7851b369749f1e06")     # 3.5.1: later ones lose Signum's average
SCHEDULE_FREE = ("facebookresearch/schedule_free", "70785b53e778d0e872c0bbb75ff4ee54ee10c291")
SOPHIA = ("Liuhong99/Sophia", "a7e157229b71d58cf995d32854f1be15c265b350")
LESSW2020 = ("lessw2020/Ranger-Deep-Learning-Optimizer", "c82a30460684c7301086d84185a1927b1c256afa")
ZYUSHUN = ("zyushun/Adam-mini", "402aadfed23719f3b92c8e78b5d49ad499ff7ada")
KELLER_JORDAN = ("KellerJordan/Muon", "857d1adc159e098212f828d927460782d3da59e9")
NORMUON = ("zichongli5/NorMuon", "d45c9a4280d758e2cf0b2b8333765d040e953937")
REPOSITORIES = {"muonwithauxadam": KELLER_JORDAN, "normuon": NORMUON, "adammini": ZYUSHUN, "ranger": LESSW2020,
                "ademamix": ADEMAMIX, "signsgd": KOZISTR, "signum": KOZISTR, "yogi": KOZISTR, "sophiag": SOPHIA,
                "sgdschedulefree": SCHEDULE_FREE, "adamwschedulefree": SCHEDULE_FREE, "radamschedulefree": SCHEDULE_FREE}


def adam_mini(groups, defaults):
    """Its blocks follow from a parameter's name: here they are an option of its group."""
    kind = sources.clone(*ZYUSHUN, "adam_mini", "adam_mini").Adam_mini
    def name(p, blocks):
        """It takes a neuron for a row of a matrix: what has more dimensions are heads."""
        if blocks == 0 and p.dim() == 2:
            return "mlp"
        return "bias" if blocks == -1 else "norm" if blocks == 1 or blocks == 0 and p.dim() < 2 else "query"

    class Blocks(kind):
        unrecorded = ("head_per_gpu", "neuron_per_gpu", "reduced", "block_numel", "v")

        def __init__(self, groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, blocks=0):
            options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "blocks": blocks}
            groups = [options | group for group in groups]
            super().__init__([(f"{i}", p) for i, group in enumerate(groups) for p in group["params"]], verbose=False)
            self.param_groups = []
            for group in groups:
                beta1, beta2 = group["betas"]
                self.add_param_group(group | {"beta1": beta1, "beta2": beta2})

        @torch.no_grad()
        def step(self):
            groups = self.param_groups
            for group in groups:
                for p in group["params"]:
                    self.param_groups = [group | {"params": [p], "name": name(p, group["blocks"])}]
                    self.head_numel = p.numel() // (group["blocks"] if group["blocks"] > 0 else p.size(0) if p.dim() else 1)
                    if p.grad is not None:
                        super().step()
                        if "v" in self.state[p]:
                            self.state[p]["vmean"] = self.state[p]["v"]
            self.param_groups = groups
    return sources.construct(Blocks, groups, defaults)


def ranger(groups, defaults):
    with contextlib.redirect_stdout(io.StringIO()):         # it greets
        kind = sources.clone(*LESSW2020, "ranger").Ranger
        renamed = {"N_sma_threshhold" if key == "n_sma_threshold" else key: value for key, value in defaults.items()}
        return sources.construct(kind, groups, renamed)


def aux_adam(groups, defaults):
    """Its groups have the options of their kind and no others."""
    kind = sources.clone(*KELLER_JORDAN, "muon").SingleDeviceMuonWithAuxAdam
    muon, adam = ("lr", "momentum", "weight_decay"), ("lr", "betas", "eps", "weight_decay")
    groups = [{"use_muon": True} | defaults | group for group in groups]
    return kind([{key: value for key, value in group.items() if key in ("params", "use_muon") + (muon if group["use_muon"] else adam)}
                 for group in groups])


def make(optimizer, groups, defaults):
    """The optimizer of a case, on the for-loop path."""
    if optimizer == "MuonWithAuxAdam":
        return aux_adam(groups, defaults)
    if optimizer == "NorMuon":
        return sources.clone(*NORMUON, "normuon").SingleDeviceNorMuon(groups, **defaults)
    if optimizer in ("AdamMini", "Ranger"):
        return (adam_mini if optimizer == "AdamMini" else ranger)(groups, defaults)
    if optimizer == "AdEMAMix":
        return sources.construct(sources.clone(*ADEMAMIX, "ademamix", "pytorch").AdEMAMix, groups, defaults)
    if optimizer == "Yogi":
        return sources.construct(sources.per_parameter(sources.clone(*KOZISTR, "pytorch_optimizer").Yogi), groups, defaults)
    if optimizer == "SophiaG":
        kind = with_batch_size(sources.clone(*SOPHIA, "sophia").SophiaG)
        return sources.construct(kind, groups, {"bs": 5120} | defaults)
    if optimizer.endswith("ScheduleFree"):
        made = sources.construct(getattr(sources.clone(*SCHEDULE_FREE, "schedulefree"), optimizer), groups, defaults)
        made.train()
        return made
    kind = sources.clone(*KOZISTR, "pytorch_optimizer").SignSGD

    def decay(group, p):
        """It takes options for a weight decay but applies none: this is how its other optimizers do."""
        kind.apply_weight_decay(p.data, p.grad, lr=group["lr"], weight_decay=group["weight_decay"],
                                weight_decouple=group["weight_decouple"], fixed_decay=False)
    return sources.construct(kind, groups, defaults | ({"momentum": 0.0} if optimizer == "SignSGD" else {}), decay)


def origin(file):
    return "https://github.com/{} at {}".format(*REPOSITORIES[file])


def with_batch_size(kind):
    """SophiaG takes `bs` as an argument of its step: here it is a group's option."""
    class WithBatchSize(kind):
        def step(self):
            groups = self.param_groups
            for group in groups:
                self.param_groups = [group]
                super().step(bs=group["bs"])
            self.param_groups = groups
    return WithBatchSize


def signsgd_cases():
    values = {"lr": [0.01, 0.0], "weight_decay": [0, 0.1], "weight_decouple": [False, True], "maximize": [False, True]}
    return pairs("SignSGD", values) + rule_cases(
        "SignSGD", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}, [
            ("l2", "wide", {"lr": 0.03, "weight_decay": 0.3, "weight_decouple": False}),
            ("maximize", "constant", {"maximize": True}),
        ], [{"maximize": False}, {"weight_decouple": False}, {"lr": 0.1, "weight_decay": 0.0}], "float32")


def signum_cases():
    values = {"lr": [0.01, 0.0], "momentum": [0.0, 0.9], "weight_decay": [0, 0.1], "weight_decouple": [False, True],
              "maximize": [False, True]}
    return pairs("Signum", values) + rule_cases(
        "Signum", {"lr": 0.01, "momentum": 0.95, "weight_decay": 0.1, "maximize": True}, [
            ("l2", "wide", {"lr": 0.03, "momentum": 0.3, "weight_decay": 0.3, "weight_decouple": False}),
            ("maximize", "constant", {"maximize": True}),
            ("no-momentum", "normal", {"momentum": 0.0, "weight_decay": 0.1}),
        ], [{"maximize": False}, {"momentum": 0.0}, {"lr": 0.1, "weight_decouple": False}], "float64")


def ademamix_cases():
    warm = {"beta3_warmup": 20, "alpha_warmup": 10}
    values = {"lr": [0.01, 0.0], "betas": [[0.9, 0.95, 0.99], [0.0, 0.9, 0.999]], "alpha": [0.0, 5.0], "beta3_warmup": [None, 20],
              "alpha_warmup": [None, 30], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1], "maximize": [False, True]}
    return pairs("AdEMAMix", values) + rule_cases(
        "AdEMAMix", {"lr": 0.01, "betas": [0.9, 0.95, 0.99], "alpha": 5.0, "weight_decay": 0.1, "maximize": True} | warm, [
            ("warmup", "constant", {"lr": 0.01, "beta3_warmup": 40, "alpha_warmup": 45}),
            ("no-fast", "wide", {"betas": [0.0, 0.99, 0.999], "alpha": 8.0, "weight_decay": 0.3, "eps": 1e-3, "beta3_warmup": None}),
            ("no-fast-warmup-maximize", "normal", {"betas": [0.0, 0.5, 0.999], "maximize": True} | warm),
        ], [{"maximize": False, "alpha_warmup": None}, {"betas": [0.0, 0.9, 0.9], "alpha": 0.0},
            {"lr": 0.1, "weight_decay": 0.0, "beta3_warmup": None}], "float64")


def yogi_cases():
    values = {"lr": [0.01, 0.0], "betas": [MIDDLE, LERP], "initial_accumulator": [1e-6, 0.1, 0.0], "eps": [1e-3, 1e-8],
              "weight_decay": [0.0, 0.1], "weight_decouple": [False, True], "fixed_decay": [False, True], "maximize": [False, True]}
    return pairs("Yogi", values) + rule_cases(
        "Yogi", {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True}, [
            ("l2", "wide", {"lr": 0.03, "betas": LERP, "weight_decay": 0.3, "weight_decouple": False}),
            ("fixed-decay-maximize", "constant", {"weight_decay": 0.01, "fixed_decay": True, "initial_accumulator": 0.3, "maximize": True}),
            ("no-accumulator", "normal", {"initial_accumulator": 0.0, "eps": 1e-8}),
        ], [{"maximize": False}, {"betas": LERP, "eps": 1e-4}, {"lr": 0.1, "weight_decouple": False}], "float32")


def sophiag_cases():
    """Samples come for every parameter, also for those that have no gradient then, or have not had one yet."""
    values = {"lr": [0.01, 0.0], "betas": [[0.965, 0.99], LERP], "rho": [0.04, 0.0, 1.0], "weight_decay": [0.0, 0.1],
              "bs": [5120, 16], "maximize": [False, True]}
    cases = pairs("SophiaG", values) + rule_cases(
        "SophiaG", {"lr": 0.01, "betas": MIDDLE, "rho": 0.05, "weight_decay": 0.2, "bs": 480, "maximize": True}, [
            ("betas", "wide", {"lr": 0.03, "betas": LERP, "rho": 0.3, "bs": 100}),
            ("maximize", "constant", {"lr": 0.002, "weight_decay": 0.0, "maximize": True}),
            ("never-sampled", "normal", {"lr": 0.002}),
        ], [{"maximize": False}, {"betas": LERP, "bs": 64}, {"lr": 0.1, "rho": 0.01}], "float64")
    return [c if "never-sampled" in c["name"] else c | {"hessian": [0, 2, 9, 10, 19, 29]} for c in cases]


def schedule_free_cases(optimizer, values, full, variants, overrides, large):
    """With swaps between training and evaluation; the last row of each is one of evaluation."""
    cases = pairs(optimizer, values) + rule_cases(optimizer, full, variants, overrides, large)
    return [c if "-defaults-" in c["name"] else c | {"eval": [0, 4, 11, 12, 21, c["steps"] - 1]} for c in cases]


def sgdschedulefree_cases():
    values = {"lr": [0.1, 0.0], "momentum": [0.9, 0.4], "weight_decay": [0, 0.1], "warmup_steps": [0, 7], "r": [0.0, 0.5],
              "weight_lr_power": [2, 0.5, 0.0], "maximize": [False, True]}
    return schedule_free_cases(
        "SGDScheduleFree", values,
        {"lr": 0.1, "momentum": 0.95, "weight_decay": 0.01, "warmup_steps": 9, "r": 0.3, "weight_lr_power": 1.5, "maximize": True}, [
            ("warmup", "constant", {"lr": 0.5, "warmup_steps": 40}),
            ("momentum-decay", "wide", {"lr": 0.03, "momentum": 0.5, "weight_decay": 0.3}),
        ], [{"maximize": False, "warmup_steps": 0}, {"momentum": 0.3, "r": 2.0}, {"lr": 1.0, "weight_decay": 0.0}], "float32")


def adamwschedulefree_cases():
    values = {"lr": [0.01, 0.0], "betas": [[0.9, 0.999], [0.4, 0.5]], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1], "warmup_steps": [0, 7],
              "r": [0.0, 0.5], "weight_lr_power": [2.0, 0.5], "inner_momentum": [0.0, 0.9], "maximize": [False, True]}
    full = {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "warmup_steps": 9, "r": 0.3, "weight_lr_power": 1.5, "maximize": True}
    return schedule_free_cases(
        "AdamWScheduleFree", values, full, [
            ("warmup-inner", "constant", {"lr": 0.01, "inner_momentum": 0.9, "warmup_steps": 40}),
            ("inner-decay", "wide", {"inner_momentum": 0.5, "betas": LERP, "weight_decay": 0.3}),
            ("decay-eps", "wide", {"lr": 0.03, "eps": 1e-3, "weight_decay": 0.3}),
        ], [{"maximize": False, "warmup_steps": 0}, {"betas": LERP, "inner_momentum": 0.8}, {"lr": 0.1, "weight_decay": 0.0}], "float64")


def radamschedulefree_cases():
    """The length passes 4 at step 5 (counted from 1) by default, and never with `never`."""
    never = [0.9, 0.6]
    values = {"lr": [0.01, 0.0], "betas": [[0.9, 0.999], [0.4, 0.75], never], "eps": [1e-8, 1e-3], "weight_decay": [0, 0.1],
              "r": [0.0, 0.5], "weight_lr_power": [2.0, 0.5], "silent_sgd_phase": [True, False], "maximize": [False, True]}
    return schedule_free_cases(
        "RAdamScheduleFree", values, {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "silent_sgd_phase": False, "maximize": True}, [
            ("decay", "wide", {"lr": 0.03, "weight_decay": 0.3}),
            ("sgd-phase", "constant", {"silent_sgd_phase": False, "r": 0.3}),
            ("never", "normal", {"lr": 0.1, "betas": never, "silent_sgd_phase": False}),
        ], [{"maximize": False}, {"betas": never, "eps": 1e-4}, {"lr": 0.1, "weight_decay": 0.0, "silent_sgd_phase": True}], "float32")


def adam_mini_cases():
    bounds = {"float32": 1e-5, "float64": 1e-13}
    full = {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "maximize": True}
    groups = [(["scalar", "vector"], {"blocks": -1}), (["row", "column"], {"blocks": 5, "maximize": False}),
              (["matrix"], {"blocks": 21, "betas": LERP}), (["convolution"], {"blocks": 1, "weight_decay": 0.0})]
    return [
        *near("AdamMini", "defaults", {}, bounds),
        *near("AdamMini", "tensors", full | {"blocks": 1}, bounds),
        *near("AdamMini", "elements", full | {"blocks": -1, "eps": 1e-3}, bounds, kind="constant"),
        *near("AdamMini", "groups", full, bounds, groups=groups, scheduler=STEP_LR, steps=50),
        *near("AdamMini", "absent", full, bounds, tensors=NAMED | {"weight": [7, 9]}, absent=ABSENT, scheduler=MULTI_STEP_LR),
    ]


def ranger_cases():
    """Float32 only, in which it computes whatever the parameters are. rho passes 5 at step 6 (counted from 1) by default, and is that
    of the first parameter of a step for all. It counts the steps of a parameter: those of the last case miss whole turns of the slow
    weights, so that this makes no difference."""
    late = [0.9, 0.68]

    def float32(name, defaults, **kwargs):
        return exact("Ranger", name, "float32", defaults, **kwargs)

    full = {"lr": 0.01, "betas": MIDDLE, "weight_decay": 0.1, "k": 4, "maximize": True}
    whole_turns = [[step, name] for name, steps in (("vector", range(4)), ("matrix", range(8, 16))) for step in steps]
    return [
        float32("defaults", {}, tensors=ROWS),
        float32("wide", full | {"alpha": 0.8, "k": 1}, tensors=ROWS, kind="wide"),
        float32("convolutions", full | {"gc_conv_only": True, "betas": late}, tensors=ROWS),
        float32("threshold", {"n_sma_threshold": 8.0, "eps": 1e-3}, tensors=ROWS, kind="constant"),
        float32("groups", full, tensors=ROWS, groups=[(["scalar", "vector", "row"], {"lr": 0.1, "weight_decay": 0.0}),
                                                      (["column", "matrix", "convolution"], {"maximize": False, "k": 3})],
                scheduler=STEP_LR, steps=50),
        float32("lr-to-zero", full, tensors=ROWS, kind="wide", scheduler=TO_ZERO),
        float32("special", full, tensors=ROWS, kind="special"),
        float32("zero", full, tensors=ROWS, kind="zero"),
        float32("large", full, tensors={"large": [40, 1030]}, steps=10),
        float32("absent", full, tensors={"scalar": [], "vector": [17], "matrix": [13, 79]}, absent=whole_turns),
    ]


def unrounded(cases):
    return [case | {"unrounded": True} for case in cases]


def muonwithauxadam_cases():
    """Adam's part is exact, and so is Muon's momentum; Muon's products are kept from rounding to bfloat16."""
    bounds = {"float32": 1e-5, "float64": 1e-10}
    adam = {"use_muon": False, "lr": 3e-4}
    tensors = MATRICES | {"scalar": [], "vector": [17], "matrix": [7, 9]}
    groups = [(["one", "row", "column", "square"], {}), (["wide", "tall", "twin", "long"], {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
              (["scalar", "vector"], adam), (["matrix"], adam | {"lr": 0.01, "betas": LERP, "eps": 1e-3, "weight_decay": 0.3})]
    absent = sorted([[s, name] for s in range(5) for name in ("twin", "vector")] + [[s, "row"] for s in range(25, 30)]
                    + [[s, "matrix"] for s in (7, 12)] + [[7, "long"]])
    return unrounded([
        *near("MuonWithAuxAdam", "matrices", {}, bounds, tensors=MATRICES),
        *near("MuonWithAuxAdam", "groups", {"weight_decay": 0.01}, bounds, tensors=tensors, groups=groups, scheduler=STEP_LR),
        *near("MuonWithAuxAdam", "absent", {"weight_decay": 0.01}, bounds, tensors=tensors, groups=groups, absent=absent,
              scheduler=MULTI_STEP_LR),
        *both("MuonWithAuxAdam", "adam", adam, tensors=SIX),
        *both("MuonWithAuxAdam", "adam-wide", adam | {"lr": 0.01, "betas": LERP, "weight_decay": 0.1}, tensors=THREE, kind="wide"),
        *both("MuonWithAuxAdam", "adam-special", adam | {"betas": MIDDLE, "weight_decay": 0.1}, tensors=THREE, kind="special"),
        *both("MuonWithAuxAdam", "adam-absent", adam, tensors=NAMED, absent=ABSENT, scheduler=MULTI_STEP_LR),
    ])


def normuon_cases():
    """As Muon's; the average of the rows' squares is the library's in float64, the source's in the parameters' type."""
    bounds = {"float32": 1e-5, "float64": 1e-10}
    groups = [(["one", "row", "column"], {"lr": 0.05}), (["square", "wide", "long"], {"momentum": 0.5, "beta2": 0.8, "weight_decay": 0.3}),
              (["tall", "twin"], {"beta2": 0.3})]
    absent = sorted([[s, "twin"] for s in range(5)] + [[s, "row"] for s in range(25, 30)] + [[s, "long"] for s in (7, 12)])
    return unrounded([
        *near("NorMuon", "defaults", {}, bounds, tensors=MATRICES),
        *near("NorMuon", "groups", {"weight_decay": 0.1}, bounds, tensors=MATRICES, groups=groups, scheduler=STEP_LR),
        *near("NorMuon", "absent", {"weight_decay": 0.1}, bounds, tensors=MATRICES, absent=absent, scheduler=MULTI_STEP_LR),
        *near("NorMuon", "constant", {}, bounds, tensors=MATRICES, kind="constant", steps=2),
        *near("NorMuon", "zero", {"weight_decay": 0.1}, bounds, tensors=MATRICES, kind="zero"),
    ])


CASES = {"muonwithauxadam": muonwithauxadam_cases(), "normuon": normuon_cases(), "adammini": adam_mini_cases(), "ranger": ranger_cases(), "signsgd": signsgd_cases(), "signum": signum_cases(), "ademamix": ademamix_cases(), "yogi": yogi_cases(), "sophiag": sophiag_cases(),
         "sgdschedulefree": sgdschedulefree_cases(), "adamwschedulefree": adamwschedulefree_cases(),
         "radamschedulefree": radamschedulefree_cases()}
