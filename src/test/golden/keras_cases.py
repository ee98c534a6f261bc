"""The golden cases of what is defined as in Keras, on its PyTorch backend. Powers are the correctly rounded ones."""
import importlib.metadata
import os

import numpy as np
import torch

from cases import both, pairs, rule_cases

SMALL = {"scalar": [], "seven": [7], "vector": [17]}


def keras():
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras.src import ops
    ops.power = power
    return keras


def power(tensor, exponent):
    x = tensor.detach().cpu().numpy() if isinstance(tensor, torch.Tensor) else tensor.numpy()
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    with np.errstate(all="ignore"):
        root = np.sqrt(x) if exponent == 0.5 else np.power(x.astype(wide), x.dtype.type(exponent)).astype(x.dtype)
    return torch.from_numpy(np.asarray(root))


class Ftrl(torch.optim.Optimizer):
    """Keras's optimizer for each parameter, in torch's shape."""
    NAMES = {"learning_rate_power": -0.5, "initial_accumulator_value": 0.1, "l1_regularization_strength": 0.0,
             "l2_regularization_strength": 0.0, "l2_shrinkage_regularization_strength": 0.0, "beta": 0.0}

    def __init__(self, groups, defaults):
        super().__init__(groups, {"lr": 0.001, "maximize": False} | self.NAMES | defaults)
        self.made = {}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    optimizer, variable = self.made[p] if p in self.made else self.made.setdefault(p, self.build(group, p))
                    optimizer.learning_rate = group["lr"]
                    optimizer.apply([-p.grad if group["maximize"] else p.grad], [variable])
                    p.copy_(variable.value)
                    self.state[p] = {"accumulator": optimizer._accumulators[0].value.detach(), "linear": optimizer._linears[0].value.detach()}

    def build(self, group, p):
        library = keras()
        library.config.set_floatx(str(p.dtype).removeprefix("torch."))
        optimizer = library.optimizers.Ftrl(learning_rate=group["lr"], **{name: group[name] for name in self.NAMES})
        variable = library.Variable(p.detach().clone())
        optimizer.build([variable])
        return optimizer, variable


def make(optimizer, groups, defaults):
    return Ftrl(groups, defaults)


def origin(file):
    return f"keras {importlib.metadata.version('keras')} on torch, keras/src/optimizers/ftrl.py"


def ftrl_cases():
    """No rate of 0, which the update would divide by."""
    def strengths(l1, l2, shrinkage):
        return {"l1_regularization_strength": l1, "l2_regularization_strength": l2, "l2_shrinkage_regularization_strength": shrinkage}

    values = {"lr": [0.1, 0.01], "initial_accumulator_value": [0.1, 0.0], "l1_regularization_strength": [0.0, 0.01],
              "l2_regularization_strength": [0.0, 0.1], "l2_shrinkage_regularization_strength": [0.0, 0.3], "beta": [0.0, 0.7],
              "maximize": [False, True]}
    full = {"lr": 0.1, "beta": 0.3, "maximize": True} | strengths(0.01, 0.1, 0.2)
    exact = pairs("FTRL", values) + rule_cases(
        "FTRL", full, [
            ("l1", "constant", {"lr": 0.3} | strengths(0.3, 0.0, 0.0)),
            ("l2", "wide", {"lr": 0.03} | strengths(0.0, 0.3, 0.0)),
            ("shrinkage-beta", "normal", {"lr": 0.1, "beta": 1.0, "initial_accumulator_value": 0.0} | strengths(0.0, 0.0, 0.3)),
        ], [{"maximize": False}, {"beta": 0.0, "initial_accumulator_value": 0.3}, {"lr": 0.3} | strengths(0.0, 0.0, 0.0)], "float64")
    # Keras rounds its powers exactly here, the library within a unit: the parameters differ, and what follows from them.
    powers = both("FTRL", "powers", full, tensors=SMALL, steps=30, groups=[
        (["scalar"], {"learning_rate_power": -0.7}), (["seven"], {"learning_rate_power": -0.1, "initial_accumulator_value": 0.0}),
        (["vector"], {"learning_rate_power": -0.9})]) + both("FTRL", "power", {"lr": 0.1, "learning_rate_power": -0.3}, tensors=SMALL)
    bound = {"bound": {"ulp": BOUND, "columns": ["param", "linear"]}}
    return [c for c in exact if "lr-to-zero" not in c["name"]] + [c | bound for c in powers]


BOUND = 16
CASES = {"ftrl": ftrl_cases()}
