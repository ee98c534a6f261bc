"""Records lbfgs.json: what torch.optim.LBFGS does on functions that Java can rebuild (LbfgsGoldenTest).

    python record_lbfgs.py [--out DIR]

Each run is recorded twice. First with torch's dot product and sum, whose bits depend on the alignment of memory and on threads,
replaced by sums that do not (kernels/leaf.h, per parameter, and 0-dim float64 results) and its square root by a correctly rounded one:
everything else is torch's, so every bit of a step can be compared. Then as torch is ("stock"): the losses and the number of evaluations.

Needs torch (CPU) and numpy. The functions use Python's doubles in a fixed order and the C library's exp and log.
README.md explains the file.
"""
import argparse
import json
import math
import pathlib
import platform
import struct

import numpy as np
import torch

import sums
from record import FORMATS, bits_of, dtype_of, exact_sqrt, hash32

class OrderFree:
    """While it is entered, torch's dot and sum are these; `sizes` are those of the parameters."""

    def __init__(self, sizes):
        self.sizes = sizes

    def total(self, terms):
        leaves, first = [], 0
        for size in self.sizes:
            leaves += sums.leaves(terms[first:first + size])
            first += size
        assert first == len(terms)
        return torch.tensor(sums.total(leaves), dtype=torch.float64)

    def __enter__(self):
        self.stock = torch.Tensor.dot, torch.Tensor.sum, torch.Tensor.sqrt
        torch.Tensor.dot = lambda a, b: self.total(a.numpy().astype(np.float64) * b.numpy().astype(np.float64))
        torch.Tensor.sum = lambda a: self.total(a.numpy().astype(np.float64))
        torch.Tensor.sqrt = exact_sqrt

    def __exit__(self, *_):
        torch.Tensor.dot, torch.Tensor.sum, torch.Tensor.sqrt = self.stock


# ---- The functions, of a list of doubles: value and gradient. LbfgsGoldenTest has the same, operation by operation.

def rosenbrock(x):
    loss, gradient = 0.0, [0.0] * len(x)
    for i in range(len(x) - 1):
        a = x[i + 1] - x[i] * x[i]
        b = 1 - x[i]
        loss += 100 * a * a + b * b
        gradient[i] += -400 * x[i] * a - 2 * b
        gradient[i + 1] += 200 * a
    return loss, gradient


def quadratic(x):
    loss, gradient = 0.0, []
    for i, xi in enumerate(x):
        curvature = 1 + (i % 7) * (i % 11)
        distance = xi - ((i * 37 % 101) / 101 - 0.5)
        loss += 0.5 * curvature * distance * distance
        gradient.append(curvature * distance)
    return loss, gradient


def logistic(x):
    """Regression of 40 labels on len(x) features, with a penalty."""
    loss, gradient = 0.0, [0.02 * w for w in x]
    for w in x:
        loss += 0.01 * w * w
    for i in range(40):
        features = [(i * (j + 3) * 17 % 23) / 23 - 0.5 for j in range(len(x))]
        label = 1 if i * 29 % 13 < 6 else -1
        z = 0.0
        for w, f in zip(x, features):
            z += w * f
        e = math.exp(-label * z)
        loss += math.log(1 + e) / 40
        for j, f in enumerate(features):
            gradient[j] += -label * f * (e / (1 + e)) / 40
    return loss, gradient


FUNCTIONS = {"rosenbrock": rosenbrock, "quadratic": quadratic, "logistic": logistic}

# ---- The runs

WOLFE = {"line_search_fn": "strong_wolfe"}


def run(name, function, start, shapes, steps, absent=(), **options):
    return [{"name": f"lbfgs-{name}-{dtype}", "function": function, "dtype": dtype, "start": start, "shapes": shapes, "steps": steps,
             "absent": list(absent), "options": options} for dtype in ("float64", "float32")]


RUNS = [r for runs in (
    run("rosenbrock-wolfe", "rosenbrock", [-1.2, 1.0], [[2]], 8, **WOLFE),
    run("rosenbrock-fixed", "rosenbrock", [0.7, 0.4, 0.3, 0.2], [[1, 2], [2]], 10, lr=0.2, history_size=3),
    run("rosenbrock-parts", "rosenbrock", [0.5] * 9, [[3], [2, 2], [], [1]], 12, max_iter=5, max_eval=7, history_size=4, **WOLFE),
    run("rosenbrock-one", "rosenbrock", [-1.2, 1.0], [[2]], 45, max_iter=1, max_eval=25, history_size=6, **WOLFE),
    run("rosenbrock-short", "rosenbrock", [-1.2, 1.0], [[2]], 5, max_iter=1, **WOLFE),
    run("quadratic-wolfe", "quadratic", [0.0] * 1500, [[1100], [20, 20]], 6, max_iter=8, lr=0.5, **WOLFE),
    run("quadratic-fixed", "quadratic", [0.0] * 1500, [[1100], [20, 20]], 6, max_iter=6, lr=0.9, history_size=2),
    run("quadratic-absent", "quadratic", [0.25] * 30, [[10], [4, 5]], 4, absent=[1], max_iter=4, tolerance_change=1e-5),
    run("logistic-wolfe", "logistic", [0.0] * 6, [[2], [4]], 6, max_iter=4, lr=2.0, **WOLFE),
    run("logistic-fixed", "logistic", [0.0] * 6, [[2], [4]], 8, max_iter=3, max_eval=3, tolerance_grad=1e-4),
) for r in runs]


def elements(shape):
    return math.prod(shape)


def steps_of(case, evaluated=lambda loss, parameters: None):
    """Yields the loss, the parameters and the state after each step; `evaluated` is called by the closure."""
    parameters, first = [], 0
    for shape in case["shapes"]:
        values = case["start"][first:first + elements(shape)]
        parameters.append(torch.nn.Parameter(torch.tensor(values, dtype=getattr(torch, case["dtype"])).reshape(shape)))
        first += elements(shape)
    assert first == len(case["start"]), case["name"]
    optimizer = torch.optim.LBFGS(parameters, **case["options"])

    def closure():
        loss, gradient = FUNCTIONS[case["function"]]([v for p in parameters for v in p.detach().reshape(-1).tolist()])
        begin = 0
        for i, p in enumerate(parameters):
            p.grad = None if i in case["absent"] else torch.tensor(gradient[begin:begin + p.numel()], dtype=p.dtype).reshape(p.shape)
            begin += p.numel()
        evaluated(loss, parameters)
        return loss

    for _ in range(case["steps"]):
        loss = optimizer.step(closure)
        yield loss, parameters, optimizer.state[parameters[0]]


def tensors(parameters, state):
    """As replay names them, numbers as 0-dim float64, lists of numbers as float64 vectors."""
    result = {f"param/{i}": p.detach() for i, p in enumerate(parameters)}
    for key, value in state.items():
        if key in ("old_dirs", "old_stps"):
            result |= {f"{key}.{i}": v for i, v in enumerate(value)}
        elif key in ("ro", "al"):
            result[key] = torch.tensor([float(v) for v in value if v is not None], dtype=torch.float64)
        elif key not in ("func_evals", "n_iter"):
            result[key] = value if torch.is_tensor(value) and value.dim() else torch.tensor(float(value), dtype=torch.float64)
    return result


def hex_of(number):
    return struct.pack(">d", number).hex()


def recorded(case):
    steps = []
    with OrderFree([elements(s) for s in case["shapes"]]):
        for loss, parameters, state in steps_of(case):
            hashes = {k: hash32(dtype_of(v), bits_of(v)) for k, v in tensors(parameters, state).items()}
            steps.append({"loss": hex_of(loss), "func_evals": state["func_evals"], "n_iter": state["n_iter"], "tensors": hashes})
    stock = [{"loss": hex_of(loss), "func_evals": state["func_evals"]} for loss, _, state in steps_of(case)]
    return steps, stock


def write_safetensors(folder, case):
    """What `panoptim replay` takes and should give; parameters are called a, b, …"""
    from safetensors.numpy import save_file
    names = "abcdefgh"[:len(case["shapes"])]
    trace, first = {}, 0
    for name, shape in zip(names, case["shapes"]):
        trace[f"param/{name}"] = np.array(case["start"][first:first + elements(shape)], case["dtype"]).reshape(shape)
        first += elements(shape)
    evaluations = [0]

    def evaluated(loss, parameters):
        at = f"{len(evaluations) - 1}/{evaluations[-1]}"
        evaluations[-1] += 1
        trace[f"loss/{at}"] = np.array(loss)
        trace.update({f"grad/{at}/{n}": p.grad.numpy().copy() for n, p in zip(names, parameters) if p.grad is not None})

    with OrderFree([elements(s) for s in case["shapes"]]):
        for _, parameters, state in steps_of(case, evaluated):
            evaluations.append(0)
        expected = {f"param/{n}": p.detach().numpy() for n, p in zip(names, parameters)}
        of_state = {k: v.numpy() for k, v in tensors(parameters, state).items() if not k.startswith("param/")}
        counts = {k: np.array(state[k]) for k in ("func_evals", "n_iter")}
        expected |= {f"state/{names[0]}/{k}": v for k, v in (counts | of_state).items()}
    folder.mkdir(parents=True, exist_ok=True)
    config = {"optimizer": "LBFGS", "defaults": {"lr": 1} | case["options"]}
    (folder / "CONFIG.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(trace, folder / "TRACE.safetensors")
    save_file(expected, folder / "EXPECTED.safetensors", metadata={"lr": json.dumps([[config["defaults"]["lr"]]] * case["steps"])})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", default=pathlib.Path(__file__).resolve().parent)
    args = parser.parse_args()
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        parser.error("torch runs without fma here; its bits are then others")
    torch.set_num_threads(1)
    lines = []
    for case in RUNS:
        steps, stock = recorded(case)
        lines.append("  {" + json.dumps(case)[1:-1] + ',\n   "recorded": [\n    ' + ",\n    ".join(map(json.dumps, steps))
                     + '],\n   "stock": [\n    ' + ",\n    ".join(map(json.dumps, stock)) + "]}")
    versions = {"torch": torch.__version__, "numpy": np.__version__, "libc": "-".join(platform.libc_ver())}
    head = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in versions.items())
    (args.out / "lbfgs.json").write_text("{\n" + head + ' "runs": [\n' + ",\n".join(lines) + "\n ]\n}\n")


if __name__ == "__main__":
    main()
