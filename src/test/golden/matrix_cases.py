"""The golden cases of what factors or preconditions matrices; torch's own sums and products, so that cases are near."""
import ast
import contextlib
import importlib.metadata
import importlib.util
import math
import pathlib
import sys

import numpy as np
import torch

import sources
from cases import FACTORED, FACTORED_MISSING, FACTORED_SHAPES, MATRICES, MULTI_STEP_LR, STEP_LR, near
DION = ("microsoft/dion", "0a059a4542e5aa74b40dcd1dce363836c7afcd48")
SHAMPOO = ("facebookresearch/optimizers", "f60660661194de26d3ee78bae6d15820ff8e583d")
SOAP = ("nikhilvyas/SOAP", "a1e553530fde97d0e6b307d7c82ac6d38b072340")

FULL_RANK = {"scalar": [], "vector": [7], "one": [1, 1], "square": [4, 4], "twin": [4, 4], "wide": [3, 5], "tall": [5, 3], "batch": [3, 2, 2, 3]}
PRECONDITIONED = {"float32": 1e-3, "float64": 1e-10}
ROOTS = {"float32": 5e-5, "float64": 1e-11}        # the source's corrections of bias are float32 with the parameters
ITERATED = {"float32": 3e-5, "float64": 6e-14}


def adafactor_hf_cases():
    def factored(name, defaults, **kwargs):
        return near("AdafactorHF", name, defaults, FACTORED, **({"tensors": FACTORED_SHAPES} | kwargs))

    fixed = {"lr": 0.01, "relative_step": False}
    groups = [(["scalar", "one", "row"], {"scale_parameter": False}), (["vector", "matrix"], {"warmup_init": True, "beta1": 0.8}),
              (["column", "long", "batch"], {"decay_rate": -0.3, "weight_decay": 0.1, "clip_threshold": 0.5})]
    return [
        *factored("defaults", {}),
        *factored("fixed", fixed | {"scale_parameter": False, "weight_decay": 0.1}, scheduler=STEP_LR),
        *factored("momentum", fixed | {"beta1": 0.9, "eps": [1e-10, 0.01], "weight_decay": 0.1}),
        *factored("groups", {}, groups=groups),
        *factored("absent", {"beta1": 0.5}, absent=FACTORED_MISSING),
        *factored("constant", {"clip_threshold": 2.0}, kind="constant"),
    ]


def transformers():
    """Transformers' class alone: its module imports half of the package."""
    spec = importlib.util.find_spec("transformers")
    if spec is None:
        raise SystemExit("transformers is needed: pip install --no-deps transformers")
    tree = ast.parse(pathlib.Path(spec.origin).with_name("optimization.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Adafactor"]
    names = {"math": math, "torch": torch, "Optimizer": torch.optim.Optimizer}
    exec(compile(tree, "optimization.py", "exec"), names)
    return names["Adafactor"]


@contextlib.contextmanager
def in_float64():
    """What else would be float32."""
    rounded, single = torch.Tensor.float, torch.float32
    torch.Tensor.float, torch.float, torch.float32 = torch.Tensor.double, torch.float64, torch.float64
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.Tensor.float, torch.float, torch.float32 = rounded, single, single
        torch.set_default_dtype(torch.float32)


def soap():
    """Elements of its lists are recorded as states of their own; of float64 all is in float64."""
    class Flat(sources.clone(*SOAP, "soap").SOAP):
        unrecorded = ("GG", "Q", "precondition_frequency", "shampoo_beta")

        @torch.no_grad()
        def step(self):
            wide = self.param_groups[0]["params"][0].dtype == torch.float64
            with in_float64() if wide else contextlib.nullcontext():
                super().step()
            for state in self.state.values():
                for key in ("GG", "Q"):
                    for i, matrix in enumerate(state.get(key, [])):
                        if len(matrix):
                            state[f"{key}.{i}"] = matrix
    return Flat


def soap_cases():
    """Where averages of outer products have full rank from the first step on: else bases of the null space are arbitrary."""
    def near_soap(name, defaults, **kwargs):
        return [c | {"arbitrary": ["exp_avg", "Q"]} for c in near("SOAP", name, defaults, PRECONDITIONED, **({"tensors": FULL_RANK} | kwargs))]

    groups = [(["scalar", "vector", "one"], {"correct_bias": False}), (["square", "batch"], {"normalize_grads": True, "precondition_frequency": 3}),
              (["twin"], {"shampoo_beta": 0.8, "weight_decay": 0.3, "betas": [0.9, 0.99]}),
              (["wide", "tall"], {"max_precond_dim": 3})]
    absent = sorted([[s, "twin"] for s in range(5)] + [[s, "square"] for s in range(17, 20)] + [[s, "scalar"] for s in (7, 12)])
    return [
        *near_soap("defaults", {"max_precond_dim": 4}, steps=25),
        *near_soap("groups", {"lr": 0.01}, groups=groups, steps=14, scheduler=STEP_LR),
        *near_soap("absent", {"max_precond_dim": 4, "precondition_frequency": 2}, absent=absent, steps=20),
        *near_soap("merged", {"merge_dims": True, "max_precond_dim": 6, "precondition_frequency": 4}, steps=14,
                   tensors={"scalar": [], "batch": [3, 2, 2, 3], "matrix": [6, 6], "more": [2, 3, 6]}),
        *near_soap("vectors", {"precondition_1d": True, "shampoo_beta": 0.0, "precondition_frequency": 100}, steps=5, tensors={"one": [1]}),
    ]


def shampoo():
    """The source's optimizer by the names of its configurations' fields; what it keeps of blocks is recorded as states of their own."""
    source = sources.clone(*SHAMPOO, "distributed_shampoo")
    plain = {"lr": 1e-2, "betas": (0.9, 1.0), "beta3": -1.0, "epsilon": 1e-12, "weight_decay": 0.0, "max_preconditioner_dim": 1024,
             "precondition_frequency": 1, "start_preconditioning_step": -1, "use_bias_correction": True}
    others = {"weight_decay_type": "decoupled", "grafting_type": None, "grafting_beta2": 0.999, "grafting_epsilon": 1e-10, "momentum": 0.0,
              "dampening": 0.0, "use_nesterov": False, "root_inv": "eigen", "inverse_exponent_override": [None] * 4,
              "target_parameter_dimensionality": 1}

    def translate(group):
        dtype, beta2, epsilon = group["params"][0].dtype, group["grafting_beta2"], group["grafting_epsilon"]
        grafting = {None: lambda: None, "sgd": source.SGDPreconditionerConfig, "adagrad": lambda: source.AdaGradPreconditionerConfig(epsilon=epsilon),
                    "rmsprop": lambda: source.RMSpropPreconditionerConfig(beta2=beta2, epsilon=epsilon),
                    "adam": lambda: source.AdamPreconditionerConfig(beta2=beta2, epsilon=epsilon)}[group["grafting_type"]]()
        momentum = sys.modules["distributed_shampoo.shampoo_types"].ClassicMomentumConfig(**{key: group[key] for key in ("momentum", "dampening", "use_nesterov")}) if group["momentum"] else None
        dimensionality = group["target_parameter_dimensionality"]
        root = sys.modules["distributed_shampoo.preconditioner.matrix_functions_types"]
        config = source.RootInvShampooPreconditionerConfig(
            amortized_computation_config=root.CoupledNewtonConfig() if group["root_inv"] == "coupled_newton" else root.EigenConfig(),
            use_symmetric_packing=False, factor_matrix_dtype=dtype, inv_factor_matrix_dtype=dtype,
            inverse_exponent_override={i + 1: x for i, x in enumerate(group["inverse_exponent_override"]) if x is not None})
        return {key: group[key] for key in ["params", *plain]} | {
            "weight_decay_type": source.WeightDecayType[group["weight_decay_type"].upper()], "grafting_config": grafting,
            "iterate_averaging_config": momentum, "preconditioner_config": config, "distributed_config": source.SingleDeviceDistributedConfig(
                target_parameter_dimensionality=math.inf if dimensionality is None else dimensionality)}

    class Flat(torch.optim.Optimizer):
        def __init__(self, params, **options):
            super().__init__(params, plain | others | options)
            self.wide = self.param_groups[0]["params"][0].dtype == torch.float64
            with in_float64() if self.wide else contextlib.nullcontext():
                self.inner = source.DistributedShampoo([translate(group) for group in self.param_groups])

        @torch.no_grad()
        def step(self):
            for group, inner in zip(self.param_groups, self.inner.param_groups):
                inner["lr"] = group["lr"]
            with in_float64() if self.wide else contextlib.nullcontext():
                self.inner.step()
            for p, blocks in self.inner.state.items():
                self.state[p] = flat = {"step": int(blocks["step"])}
                for block, states in blocks.items():
                    if block == "step":
                        continue
                    flat |= {f"{block}.{key}": state for key, state in states.items() if key != "shampoo"}
                    for key in ("factor_matrices", "inv_factor_matrices"):
                        flat |= {f"{block}.shampoo.{key}.{i}": matrix for i, matrix in enumerate(getattr(states["shampoo"], key))}
    return Flat


def shampoo_cases():
    def near_shampoo(name, defaults, **kwargs):
        return near("Shampoo", name, {"max_preconditioner_dim": 4} | defaults, ROOTS, **({"tensors": FULL_RANK} | kwargs))

    later = {"precondition_frequency": 3, "start_preconditioning_step": 5}
    groups = [(["scalar", "vector"], later | {"grafting_type": "rmsprop", "grafting_beta2": 0.9, "grafting_epsilon": 1e-3}),
              (["one", "square"], {"grafting_type": "sgd", "weight_decay": 0.1, "weight_decay_type": "l2", "momentum": 0.5, "dampening": 0.25}),
              (["twin"], {"betas": [0.0, 1.0], "grafting_type": "adagrad", "precondition_frequency": 2}),
              (["wide"], later | {"root_inv": "coupled_newton", "beta3": 0.8, "betas": [0.5, 0.9], "use_bias_correction": False}),
              (["tall"], {"inverse_exponent_override": [0.25, 0.3, None, None], "weight_decay": 0.1, "max_preconditioner_dim": 3}),
              (["batch"], {"target_parameter_dimensionality": None, "max_preconditioner_dim": 2, "betas": [0.0, 0.9]})]
    adam = {"betas": [0.9, 0.95], "grafting_type": "adam", "grafting_epsilon": 1e-8, "weight_decay": 0.1, "momentum": 0.9, "use_nesterov": True}
    return [
        *near_shampoo("defaults", {"epsilon": 1e-3}, steps=12),
        *near_shampoo("adam", later | adam | {"epsilon": 1e-4}, steps=20, scheduler=STEP_LR),
        *near_shampoo("groups", {"epsilon": 1e-2, "lr": 0.05}, groups=groups, steps=14),
        *near_shampoo("merged", {"target_parameter_dimensionality": 2, "max_preconditioner_dim": 12, "betas": [0.9, 0.9], "epsilon": 1e-3,
                                 "inverse_exponent_override": [0.0, None, None, None]}, steps=14,
                      tensors={"vector": [5], "batch": [3, 2, 2, 3], "matrix": [6, 6], "more": [2, 3, 1, 6]}),
    ]


def gaussian(rows, columns, seed, number):
    """As DionStep.fillGaussian."""
    def word(key, n):
        with np.errstate(over="ignore"):
            z = np.asarray(key, np.uint64) + (np.asarray(n, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return z ^ (z >> np.uint64(31))
    i, key = np.arange(rows * columns, dtype=np.uint64), word(word(seed, 0), number)
    first, second = ((word(key, np.uint64(2) * i + np.uint64(n)) >> np.uint64(11)).astype(np.float64) for n in (0, 1))
    return torch.from_numpy((np.sqrt(-2 * np.log((first + 1) * 2.0**-53)) * np.cos(2 * np.pi * (second * 2.0**-53))).reshape(rows, columns))


def dion():
    """What the source is constructed with is a group's; Q begins as here; cqr is rcqr for all steps, which are less than its warm-up takes."""
    compiled, torch.compile = torch.compile, lambda *args, **kwargs: lambda function: function
    try:
        kind = sources.clone(*DION, "dion.dion_reference").Dion
    finally:
        torch.compile = compiled

    class Grouped(kind):
        def __init__(self, groups, qr_method="cqr", power_iters=1, seed=0, **defaults):
            more = {"qr_method": qr_method, "power_iters": power_iters, "seed": seed}
            super().__init__([more | group for group in groups], **defaults)
            self.numbers = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}

        def _init_opt_state_dion(self, param, state, *ranks):
            super()._init_opt_state_dion(param, state, *ranks)
            state["Q"].copy_(gaussian(*state["Q"].shape, self.group["seed"], self.numbers[param]))

        @torch.no_grad()
        def step(self):
            groups = self.param_groups
            wide = groups[0]["params"][0].dtype == torch.float64
            for self.group in groups:
                self._qr_method, self._power_iters, self.param_groups = self.group["qr_method"], self.group["power_iters"], [self.group]
                with in_float64() if wide else contextlib.nullcontext():
                    super().step()
            self.param_groups = groups
    return Grouped


def dion_cases():
    def near_dion(name, defaults, **kwargs):
        return near("Dion", name, defaults, ITERATED, **({"tensors": MATRICES} | kwargs))

    groups = [(["one", "row", "column"], {"lr": 0.05, "mu": 0.5}), (["square", "wide"], {"rank_fraction": 0.5, "power_iters": 2, "seed": 3}),
              (["tall", "twin"], {"rank_fraction": 0.1, "rank_multiple_of": 2, "epsilon": 0.01}), (["long"], {"rank_multiple_of": 8, "weight_decay": 0.5})]
    absent = sorted([[s, "twin"] for s in range(5)] + [[s, "row"] for s in range(25, 30)] + [[s, "long"] for s in (7, 12)])
    return [
        *near_dion("defaults", {"qr_method": "qr"}),
        *near_dion("groups", {"qr_method": "qr"}, groups=groups, scheduler=STEP_LR),
        *near_dion("absent", {"qr_method": "qr", "rank_fraction": 0.5}, absent=absent, scheduler=MULTI_STEP_LR),
        *(c | {"arbitrary": ["Q"]} for c in near_dion("cholesky", {"qr_method": "cqr", "rank_fraction": 0.7})),
        *near_dion("zero", {"qr_method": "qr", "weight_decay": 0.1}, kind="zero"),
    ]


def make(optimizer, groups, defaults):
    return sources.construct({"AdafactorHF": transformers, "Dion": dion, "SOAP": soap, "Shampoo": shampoo}[optimizer](), groups, defaults)


def origin(file):
    if file in CLONES:
        return "https://github.com/{} at {}".format(*CLONES[file])
    return f"transformers {importlib.metadata.version('transformers')}, src/transformers/optimization.py"


CLONES = {"dion": DION, "soap": SOAP, "shampoo": SHAMPOO}
CASES = {"adafactorhf": adafactor_hf_cases(), "dion": dion_cases(), "soap": soap_cases(), "shampoo": shampoo_cases()}
