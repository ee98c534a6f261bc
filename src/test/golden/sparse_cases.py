"""The golden cases of torch.optim with sparse gradients."""
from cases import ABSENT, LERP, MIDDLE, MULTI_STEP_LR, STEP_LR, TO_ZERO, both, case
from torch_cases import make        # noqa: F401

# Rows of one element, of more than a vector, of more dimensions than one. torch treats gradients of one dimension apart: see SGD.
TABLES = {"rows": [13, 7], "narrow": [29, 1], "deep": [5, 3, 40]}
FLAT = {"flat": [17]}
LARGE = {"large": [5003, 17]}
MIXED = {"bias": [7], "rows": [13, 7], "weight": [13, 79], "deep": [5, 3, 40]}
MIXED_SPARSE = ["rows", "deep"]
TIMES = {"bias": [7], "early": [13, 7], "late": [5, 3, 4], "never": [3, 2], "weight": [13, 3]}
TIMES_SPARSE = ["early", "late", "never"]


def sparse(optimizer, name, defaults, tensors=TABLES, names=None, **kwargs):
    return both(optimizer, f"sparse-{name}", defaults, tensors=tensors, sparse=list(names or tensors), **kwargs)


def large(optimizer, dtype, defaults, **kwargs):
    return case(optimizer, "sparse-large", dtype, defaults, tensors=LARGE, sparse=list(LARGE), **kwargs)


def sparse_adam_cases():
    def adam(name, defaults, **kwargs):
        return sparse("SparseAdam", name, defaults, **kwargs)

    groups = [(["rows"], {"lr": 0.1, "maximize": True}), (["narrow"], {"betas": LERP}), (["deep"], {"eps": 1e-3})]
    return [
        *adam("defaults", {}, tensors=TABLES | FLAT),
        *adam("lerp-eps", {"lr": 0.01, "betas": LERP, "eps": 1e-3}, kind="wide"),
        *adam("maximize", {"lr": 0.05, "betas": MIDDLE, "maximize": True}, kind="constant", steps=50),
        *adam("groups", {"lr": 0.02}, groups=groups, scheduler=STEP_LR),
        *adam("lr-to-zero", {"lr": 0.01}, scheduler=TO_ZERO),
        *adam("absent", {"lr": 0.01}, tensors={n: TIMES[n] for n in TIMES_SPARSE}, absent=[a for a in ABSENT if a[1] in TIMES_SPARSE],
              scheduler=MULTI_STEP_LR),
        *adam("special", {"lr": 0.01}, kind="special"),
        *adam("zero", {"maximize": True}, kind="zero"),
        large("SparseAdam", "float32", {"lr": 0.01}),
    ]


def adagrad_cases():
    def adagrad(name, defaults, **kwargs):
        return sparse("Adagrad", name, defaults, **kwargs)

    full = {"lr": 0.1, "lr_decay": 0.05, "initial_accumulator_value": 0.1, "maximize": True}
    groups = [(["rows", "bias"], {"lr_decay": 0.0, "eps": 1e-4}), (["deep"], {"maximize": False}), (["weight"], {"weight_decay": 0.1})]
    return [
        *adagrad("defaults", {}),
        *adagrad("maximize", full, kind="wide"),
        *adagrad("mixed", full, tensors=MIXED, names=MIXED_SPARSE, groups=groups, scheduler=STEP_LR),
        *adagrad("lr-to-zero", {"lr": 0.1}, scheduler=TO_ZERO),
        *adagrad("absent", full, tensors=TIMES, names=TIMES_SPARSE, absent=ABSENT, scheduler=MULTI_STEP_LR),
        *adagrad("special", full, kind="special"),
        large("Adagrad", "float64", full),
    ]


def sgd_cases():
    """With momentum torch is given coalesced gradients: otherwise its buffer keeps every index of every step apart."""
    def sgd(name, defaults, **kwargs):
        return sparse("SGD", name, defaults, **kwargs)

    groups = [(["rows", "bias"], {"lr": 0.5}), (["deep"], {"maximize": True}), (["weight"], {"weight_decay": 0.1, "momentum": 0.9})]
    return [
        *sgd("plain", {"lr": 0.1}),
        *sgd("maximize", {"lr": 0.1, "maximize": True}, kind="wide"),
        *sgd("mixed", {"lr": 0.1}, tensors=MIXED, names=MIXED_SPARSE, groups=groups, scheduler=STEP_LR),
        *sgd("lr-to-zero", {"lr": 0.1}, scheduler=TO_ZERO),
        *sgd("special", {"lr": 0.1}, kind="special"),
        *sgd("momentum", {"lr": 0.1, "momentum": 0.9}, coalesced=True),
        *sgd("dampening", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}, coalesced=True, kind="wide"),
        *sgd("nesterov", {"lr": 0.05, "momentum": 0.9, "nesterov": True}, coalesced=True, tensors=MIXED, names=MIXED_SPARSE),
        *sgd("momentum-maximize", {"lr": 0.1, "momentum": 0.9, "maximize": True}, coalesced=True),
        *sgd("absent", {"lr": 0.1, "momentum": 0.9}, coalesced=True, tensors=TIMES, names=TIMES_SPARSE, absent=ABSENT),
        *sgd("momentum-special", {"lr": 0.1, "momentum": 0.5}, coalesced=True, kind="special"),
        large("SGD", "float32", {"lr": 0.1}),
    ]


CASES = {"sparse": sparse_adam_cases() + adagrad_cases() + sgd_cases()}
