"""The golden cases of what factors or preconditions matrices; torch's own sums and products, so that cases are near."""
import ast
import importlib.metadata
import importlib.util
import math
import pathlib

import torch

import sources
from cases import FACTORED, FACTORED_MISSING, FACTORED_SHAPES, STEP_LR, near


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


def make(optimizer, groups, defaults):
    return sources.construct(transformers(), groups, defaults)


def origin(file):
    return f"transformers {importlib.metadata.version('transformers')}, src/transformers/optimization.py"


CASES = {"adafactorhf": adafactor_hf_cases()}
