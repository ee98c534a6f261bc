"""The golden cases of what factors or preconditions matrices; torch's own sums and products, so that cases are near."""
import ast
import contextlib
import importlib.metadata
import importlib.util
import math
import pathlib

import torch

import sources
from cases import FACTORED, FACTORED_MISSING, FACTORED_SHAPES, STEP_LR, near
SOAP = ("nikhilvyas/SOAP", "a1e553530fde97d0e6b307d7c82ac6d38b072340")

FULL_RANK = {"scalar": [], "vector": [7], "one": [1, 1], "square": [4, 4], "twin": [4, 4], "wide": [3, 5], "tall": [5, 3], "batch": [3, 2, 2, 3]}
PRECONDITIONED = {"float32": 1e-3, "float64": 1e-10}


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
    rounded = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.Tensor.float = rounded
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


def make(optimizer, groups, defaults):
    return sources.construct({"AdafactorHF": transformers, "SOAP": soap}[optimizer](), groups, defaults)


def origin(file):
    if file == "soap":
        return "https://github.com/{} at {}".format(*SOAP)
    return f"transformers {importlib.metadata.version('transformers')}, src/transformers/optimization.py"


CASES = {"adafactorhf": adafactor_hf_cases(), "soap": soap_cases()}
