"""The golden cases of what is recorded from git repositories."""
import sources
from cases import pairs, rule_cases

AUTHORS = ("apple/ml-ademamix", "c3d73c09f1287e5c33b95189bb0aa7de0a5a7667")
KOZISTR = ("kozistr/pytorch_optimizer", "84b926c80c1b624e358b8b0d7851b369749f1e06")     # 3.5.1: later ones lose Signum's average


def make(optimizer, groups, defaults):
    """The optimizer of a case, on the for-loop path."""
    if optimizer == "AdEMAMix":
        return sources.construct(sources.clone(*AUTHORS, "ademamix", "pytorch").AdEMAMix, groups, defaults)
    kind = sources.clone(*KOZISTR, "pytorch_optimizer").SignSGD

    def decay(group, p):
        """It takes options for a weight decay but applies none: this is how its other optimizers do."""
        kind.apply_weight_decay(p.data, p.grad, lr=group["lr"], weight_decay=group["weight_decay"],
                                weight_decouple=group["weight_decouple"], fixed_decay=False)
    return sources.construct(kind, groups, defaults | ({"momentum": 0.0} if optimizer == "SignSGD" else {}), decay)


def origin(file):
    return "https://github.com/{} at {}".format(*(AUTHORS if file == "ademamix" else KOZISTR))


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


CASES = {"signsgd": signsgd_cases(), "signum": signum_cases(), "ademamix": ademamix_cases()}
