"""What golden cases are made of: shapes, schedules, and the cases that every optimizer has."""
import itertools
import zlib

SIX = {"scalar": [], "one": [1], "three": [3], "seven": [7], "vector": [17], "matrix": [13, 79]}
SOME = {"scalar": [], "vector": [17], "matrix": [13, 79]}
OTHERS = {"one": [1], "seven": [7], "flat": [1027]}
THREE = {"scalar": [], "seven": [7], "matrix": [13, 79]}
FLAT = {"flat": [1027]}
LARGE = {"large": [100003]}
ROWS = {"scalar": [], "vector": [17], "row": [1, 5], "column": [5, 1], "matrix": [13, 79], "convolution": [4, 3, 2, 3]}
NEAR = {"scalar": [], "vector": [7], "row": [1, 5], "column": [5, 1], "matrix": [7, 9], "convolution": [4, 3, 2, 3]}
MATRICES = {"one": [1, 1], "row": [1, 7], "column": [7, 1], "square": [4, 4], "wide": [3, 5], "tall": [5, 3], "twin": [5, 3],
            "long": [2, 8]}
FACTORED_SHAPES = {"scalar": [], "vector": [17], "one": [1, 1], "row": [1, 7], "column": [7, 1], "matrix": [13, 9], "long": [2, 70],
                   "batch": [3, 2, 5, 4]}
FACTORED_LARGE = {"wide": [3, 1300], "tall": [150, 5], "vector": [700]}
NAMED = {"bias": [7], "early": [3], "late": [17], "never": [3], "weight": [13, 79]}

# Gradients are missing in the first steps, in the middle and at the end, for one parameter always; step 12 has one alone.
ABSENT = sorted([[s, "late"] for s in range(5)] + [[s, "early"] for s in range(25, 30)] + [[s, "never"] for s in range(30)]
                + [[s, "bias"] for s in (7, 12, 13)] + [[12, "late"], [12, "early"]])

FACTORED_MISSING = sorted([[s, "vector"] for s in range(5)] + [[s, "row"] for s in range(25, 30)] + [[s, "batch"] for s in (7, 12)])

# Adafactor's: how far a value may be off, over its tensor's largest: about four times as much as is seen.
FACTORED = {"float32": 2e-6, "float64": 4e-15}

STEP_LR = {"name": "StepLR", "step_size": 7, "gamma": 0.7}
MULTI_STEP_LR = {"name": "MultiStepLR", "milestones": [4, 11, 11, 20], "gamma": 0.3}
TO_ZERO = {"name": "MultiStepLR", "milestones": [21], "gamma": 0.0}

LERP, MIDDLE = [0.5, 0.9], [0.95, 0.98]         # betas; 1 - 0.5 takes the second branch of lerp


def case(optimizer, name, dtype, defaults, tensors=SOME, groups=None, scheduler=None, kind="normal", steps=30, absent=(), clip=None, **more):
    """`groups`: a list of (parameter names, overrides); by default one group with everything. `more`: what few cases have."""
    name = f"{optimizer.lower()}-{name}-{dtype}"
    config = {"optimizer": optimizer, "defaults": defaults,
              "param_groups": [{"params": list(names)} | over for names, over in groups or [(tensors, {})]]}
    if scheduler:
        config["scheduler"] = scheduler
    if clip:
        config["clip_grad_norm"] = clip
    return {"name": name, "dtype": dtype, "kind": kind, "seed": zlib.crc32(name.encode()), "steps": steps, "config": config,
            "tensors": [{"name": n, "shape": s} for n, s in tensors.items()], "absent": [list(a) for a in absent]} | more


def both(optimizer, name, defaults, **kwargs):
    return [case(optimizer, name, dtype, defaults, **kwargs) for dtype in ("float32", "float64")]


def exact(optimizer, name, dtype, defaults, **kwargs):
    """A case whose sums are taken as kernels/leaf.h defines them (sums.py)."""
    return case(optimizer, name, dtype, defaults, **kwargs) | {"sums": "exact"}


def exact_in_both(optimizer, name, defaults, **kwargs):
    return [exact(optimizer, name, dtype, defaults, **kwargs) for dtype in ("float32", "float64")]


def near(optimizer, name, defaults, bounds, **kwargs):
    """Cases with torch's own sums; `bounds`: how far a value may be off, over its tensor's largest, by dtype."""
    return [case(optimizer, name, dtype, defaults, **({"tensors": NEAR} | kwargs)) | {"relative": bound} for dtype, bound in bounds.items()]


def pairs(optimizer, values, valid=lambda options: True):
    """Every pair of the values of two options: as few groups as will do, each with a tensor and a combination of its own."""
    combinations = [dict(zip(values, c)) for c in itertools.product(*values.values())]
    combinations = [c for c in combinations if valid(c)]

    def in_pairs(c):
        return set(itertools.combinations(((name, str(value)) for name, value in c.items()), 2))

    missing, chosen = set().union(*map(in_pairs, combinations)), []
    while missing:
        best = max(combinations, key=lambda c: len(in_pairs(c) & missing))
        chosen.append(best)
        missing -= in_pairs(best)
    tensors = {f"tensor{i}": [17] for i in range(len(chosen))}
    return both(optimizer, "pairs", {}, tensors=tensors, groups=[([n], c) for n, c in zip(tensors, chosen)], steps=50)


def rule_cases(optimizer, full, variants, overrides, large):
    """What the other elementwise optimizers share. `full`: every flag at once; `variants`: (name, kind, defaults) of further cases;
    `overrides`: of one group per tensor of THREE, over `full`; `large`: the dtype of the large case."""
    def rule(name, defaults, tensors=FLAT, **kwargs):
        return both(optimizer, name, defaults, tensors=tensors, **kwargs)

    groups = [([name], over) for name, over in zip(THREE, overrides, strict=True)]
    return [
        *rule("defaults", {}),
        *(c for name, kind, defaults in variants for c in rule(name, defaults, kind=kind, steps=50 if kind == "constant" else 30)),
        *rule("groups", full, tensors=THREE, groups=groups, scheduler=STEP_LR),
        *rule("lr-to-zero", full, kind="wide", scheduler=TO_ZERO),
        *rule("absent", full, tensors=NAMED, absent=ABSENT, scheduler=MULTI_STEP_LR),    # `late` starts with another lr
        *rule("special", full, kind="special"),
        case(optimizer, "zero", "float32", {"maximize": True}, tensors=FLAT, kind="zero"),
        case(optimizer, "large", large, full, tensors=LARGE),
    ]
