"""Writes the small files that the tests of replay and of safetensors read: python record.py CLONES

Each folder here: a run as `panoptim replay` takes it, made by src/test/golden/record.py, which says what this needs, also of CLONES.
../../checkpoint/python.safetensors: every kind of tensor that the reader must understand.
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parents[4] / "golden"))
sys.dont_write_bytecode = True
import clone_cases  # noqa: E402
import record as golden  # noqa: E402
import record_lbfgs  # noqa: E402
import sources  # noqa: E402
import torch_cases  # noqa: E402
from cases import case  # noqa: E402

TENSORS = {"scalar": [], "three": [3], "matrix": [2, 3]}
TABLES = {"rows": [4, 3], "deep": [3, 2, 2]}
GROUPS = [(["matrix"], {"lr": 0.01, "betas": [0.5, 0.9], "amsgrad": True}), (["three", "scalar"], {"weight_decay": 0.1})]
CASES = {
    "sgd": case("SGD", "replay", "float32", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
                tensors=TENSORS, steps=4),
    "adamw": case("AdamW", "replay", "float64", {"lr": 0.01, "amsgrad": True}, tensors=TENSORS, steps=4),
    "adam-groups": case("Adam", "replay", "float32", {"lr": 0.002}, tensors=TENSORS, groups=GROUPS, steps=6,
                        scheduler={"name": "StepLR", "step_size": 2, "gamma": 0.7},
                        absent=[(0, "three"), (3, "three"), (3, "matrix"), (3, "scalar"), (5, "scalar")]),
    "sgd-multistep": case("SGD", "replay-multistep", "float32", {"lr": 0.1}, tensors={"three": [3]}, steps=4,
                          scheduler={"name": "MultiStepLR", "milestones": [1, 3, 3]}),
    "sparse-adam": case("SparseAdam", "replay", "float32", {"lr": 0.01}, tensors=TABLES, sparse=list(TABLES), steps=8,
                        absent=[(3, "deep")]),
    "sparse-sgd": case("SGD", "replay-sparse", "float64", {"lr": 0.1, "momentum": 0.9}, tensors=TABLES, sparse=["rows"],
                       coalesced=True, steps=8),
    "sophiag": case("SophiaG", "replay", "float32", {"lr": 0.01, "rho": 0.05, "bs": 480}, tensors=TENSORS, steps=6,
                    absent=[(0, "three"), (3, "matrix")]) | {"hessian": [0, 2, 5]},
    "adamw-schedule-free": case("AdamWScheduleFree", "replay", "float64", {"lr": 0.01, "warmup_steps": 3, "weight_decay": 0.1},
                                tensors=TENSORS, steps=6, absent=[(0, "three"), (3, "matrix")]),
}
BEYOND_TORCH = ("sophiag", "adamw-schedule-free")

sources.clones = pathlib.Path(sys.argv[1])
golden.source_of |= {c["name"]: clone_cases if name in BEYOND_TORCH else torch_cases for name, c in CASES.items()}
torch.set_num_threads(1)
torch.Tensor.sqrt, torch.Tensor.sqrt_, torch.Tensor.coalesce = golden.exact_sqrt, golden.exact_sqrt_, golden.ordered_coalesce
for name, recorded in CASES.items():
    golden.write_safetensors(here / name, recorded, stock=False)
wolfe = {"max_iter": 4, "max_eval": None, "history_size": 3, "line_search_fn": "strong_wolfe"}
record_lbfgs.write_safetensors(here / "lbfgs", record_lbfgs.run("replay", "rosenbrock", [-1.2, 1.0, 0.5, 0.4], [[3], [1, 1]], 5,
                                                                 **wolfe)[0])
record_lbfgs.write_safetensors(here / "lbfgs-absent", record_lbfgs.run("replay-absent", "quadratic", [0.25] * 6, [[2, 2], [2]], 3,
                                                                        absent=[1], lr=0.7, max_iter=3, line_search_fn=None)[1])
save_file({
    "f64": torch.tensor([1.5, -2.0, -torch.inf], dtype=torch.float64),
    "f32": torch.tensor([0.1, -0.0, 1e-45]),
    "bf16": torch.tensor([1.0, -3.140625], dtype=torch.bfloat16),
    "half/größe": torch.tensor([65504.0, 2.0**-24], dtype=torch.float16),
    "u8": torch.tensor([0, 255], dtype=torch.uint8),
    "scalar": torch.tensor(7.0),
    "empty": torch.zeros(3, 0),
    "emb.indices": torch.tensor([3, 1]),
}, here.parents[1] / "checkpoint" / "python.safetensors", metadata={"lr": "[[0.1]]", "über": '"\n'})
