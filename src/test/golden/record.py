"""Records the golden traces: what an optimizer's for-loop path in torch does, bit for bit, on inputs that Java can rebuild.

    python record.py [FILE ...]                       write sgd.json, adam.json … (one per optimizer), inputs.json beside this file,
                                                      or only the named ones (sgd, adam, …, inputs)
    python record.py --out DIR [--stock] [FILE ...]   write them elsewhere
    python record.py --safetensors DIR [NAME ...]     write DIR/NAME/{CONFIG.json,TRACE.safetensors,EXPECTED.safetensors}
                                                      for the named cases (default: all) instead; for `panoptim replay`

--stock keeps torch's own square root, which in builds linked with MKL is off in the last bit of some roots; without it the
root is replaced by a correctly rounded one, pow(1/3) by a correctly rounded cube root, and the traces are the same on every AVX2 or
AVX-512 processor. It also keeps torch's own coalesce(), which adds up what a repeated index has in no particular order; without it
that is the order given.

Needs torch (CPU), numpy and, for --safetensors, safetensors; for timm_cases.py also timm, for keras_cases.py keras, and for clone_cases.py --clones DIR with
a git clone (a bare one will do) of each https://github.com/OWNER/NAME that it names, at DIR/OWNER/NAME. The committed files were
made with torch 2.13.0+cpu, numpy 2.4.6 and glibc 2.36 (each file repeats this). README.md defines the generator, the hash and the
file layout.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import platform
import struct

import numpy as np
import torch

import clone_cases
import keras_cases
import matrix_cases
import norm_cases
import sources
import sparse_cases
import sums
import timm_cases
import torch_cases

# Each says what is recorded: CASES, by file, make(), by which a case's optimizer comes to be, and, beyond torch, the file's origin().
SOURCES = [torch_cases, sparse_cases, timm_cases, clone_cases, norm_cases, keras_cases, matrix_cases]
CASES = {file: cases for source in SOURCES for file, cases in source.CASES.items()}
source_of = {case["name"]: source for source in SOURCES for cases in source.CASES.values() for case in cases}
origin_of = {file: source.origin for source in SOURCES if source not in (torch_cases, sparse_cases) for file in source.CASES}

# ---- The generator and the hash: README.md, GoldenInputs.java and this section say the same thing.

U64 = np.uint64
GAMMA = 0x9E3779B97F4A7C15
PARAM, GRAD, INDEX, HESSIAN = 0, 1, 2, 3


class Format:
    """One number format. `wide_top` is the largest biased exponent that kind `wide` draws, `tiny` the number of extra
    draws that give a subnormal, and `tiny_shift` the largest right shift of a subnormal's mantissa."""

    def __init__(self, width, mantissa, wide_top, tiny, tiny_shift):
        self.width, self.mantissa, self.wide_top, self.tiny, self.tiny_shift = width, mantissa, wide_top, tiny, tiny_shift
        self.uint = np.dtype(f"u{width // 8}")
        self.sign = 1 << (width - 1)
        self.infinity = (self.sign - 1) >> mantissa << mantissa
        self.nan = self.infinity | 1 << (mantissa - 1)
        self.largest = self.infinity - 1


FORMATS = {
    "float32": Format(32, 23, 183, 8, 15),
    "float64": Format(64, 52, 1488, 64, 31),
    "bfloat16": Format(16, 7, 183, 8, 3),
    "float16": Format(16, 10, 22, 2, 7),
}


def word(key, n):
    """Word n of the splitmix64 sequence seeded with `key`; wraps modulo 2^64; either may be an array."""
    with np.errstate(over="ignore"):
        z = np.asarray(key, U64) + (np.asarray(n, U64) + U64(1)) * U64(GAMMA)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        return z ^ (z >> U64(31))


def normal_bits(fmt, w0, w1, scale):
    """A bell-shaped value: a sum of three uniform 21-bit fields, refined by 31 more bits, cut to the format's precision."""
    field = U64(0x1FFFFF)
    coarse = ((w0 & field) + (w0 >> U64(21) & field) + (w0 >> U64(42) & field)).view(np.int64) - (3 << 20)
    cut = 52 - fmt.mantissa
    fine = ((coarse << 31) + (w1 >> U64(33)).view(np.int64)) >> cut      # fits mantissa + 1 bits: all below is exact
    value = fine.astype(np.float64) * 2.0 ** (1 - fmt.mantissa + scale)
    if fmt.width == 64:
        return value.view(np.uint64)
    if fmt is FORMATS["float16"]:
        return value.astype(np.float16).view(np.uint16)
    bits = value.astype(np.float32).view(np.uint32)
    return bits if fmt.width == 32 else (bits >> 16).astype(np.uint16)


def wide_bits(fmt, w0, w1):
    """Random sign and mantissa, exponents spread evenly; some subnormals."""
    draw = (w1 >> U64(48)) * U64(fmt.wide_top + 1 + fmt.tiny) >> U64(16)
    exponent = np.where(draw > U64(fmt.tiny), draw - U64(fmt.tiny), U64(0))
    mantissa = w0 & U64((1 << fmt.mantissa) - 1)
    mantissa = np.where(exponent == 0, mantissa >> (w1 & U64(fmt.tiny_shift)), mantissa)
    return (w0 >> U64(63) << U64(fmt.width - 1) | exponent << U64(fmt.mantissa) | mantissa).astype(fmt.uint)


def generate(dtype, kind, seed, stream, tensor, step, count):
    """The bits of `count` values, as unsigned integers of the format's width."""
    fmt = FORMATS[dtype]
    key = word(word(word(seed, stream), tensor), 0 if kind == "constant" else step)
    i = np.arange(count, dtype=U64)
    w0, w1, w2 = (word(key, U64(3) * i + U64(k)) for k in range(3))
    if kind == "wide":
        bits = wide_bits(fmt, w0, w1)
    elif kind == "zero" and stream != PARAM:
        bits = np.zeros(count, fmt.uint)
    else:
        bits = normal_bits(fmt, w0, w1, -1 if stream == PARAM else -3)
    zero = w2 >> U64(48)
    bits[zero < 4588] = fmt.sign                # 2 % -0 …
    bits[zero < 3277] = 0                       # … and 5 % +0
    if stream != PARAM:
        if kind == "special" and step % 8 == 3:
            for low, value in enumerate((fmt.nan, fmt.infinity, fmt.sign | fmt.infinity, fmt.largest, fmt.sign | fmt.largest)):
                bits[w2 & U64(127) == low] = value
        bits[i % U64(13) == 5] = 0              # coordinates that never see a gradient
    return bits


def row_indices(seed, tensor, step, rows):
    """The rows that a sparse gradient has values for: up to twice as many as there are rows, with repeats; sometimes none."""
    key = word(word(word(seed, INDEX), tensor), step)
    count = 0 if step % 11 == 6 else 1 + int(below(word(key, 0), 2 * rows))
    return below(word(key, 1 + np.arange(count, dtype=U64)), rows).astype(np.int64)


def below(words, n):
    return (words >> U64(32)) * U64(n) >> U64(32)


def canonical(dtype, bits):
    fmt = FORMATS[dtype]
    return np.where(bits & (fmt.sign - 1) > fmt.infinity, fmt.uint.type(fmt.nan), bits)


def hash32(dtype, bits):
    """8 hex digits; any NaN counts as any other."""
    bits = canonical(dtype, bits)
    with np.errstate(over="ignore"):
        total = word(bits, np.arange(bits.size, dtype=U64)).sum(dtype=U64)
    return f"{int(word(total, bits.size)) >> 32:08x}"


# ---- Running an optimizer

def exact_sqrt(tensor):
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(np.asarray(np.sqrt(tensor.detach().numpy())))      # asarray: a 0-dim root is a numpy scalar


def exact_sqrt_(tensor):
    with torch.no_grad():
        return tensor.copy_(exact_sqrt(tensor))


def ordered_coalesce(tensor):
    """torch's coalesce(), with a stable sort: torch's own order of a repeated index depends on how it sorts."""
    if tensor.is_coalesced():
        return tensor
    indices, values = tensor._indices()[0].numpy(), tensor._values().numpy()
    order = np.argsort(indices, kind="stable")
    rows, first, counts = np.unique(indices[order], return_index=True, return_counts=True)
    total = values[order[first]]
    with np.errstate(invalid="ignore", over="ignore"):
        for repeat in range(1, counts.max(initial=0)):
            more = counts > repeat
            total[more] += values[order[first[more] + repeat]]
    return sparse_tensor(rows, total, tensor.shape, is_coalesced=True)


def sparse_tensor(indices, values, shape, **how):
    return torch.sparse_coo_tensor(torch.from_numpy(indices)[None], torch.from_numpy(values), shape, check_invariants=False, **how)


def plain(value, optimizer):
    """A state as a dense tensor. A number that is none: as torch keeps counts, but for SparseAdam's, an integer there."""
    if not isinstance(value, torch.Tensor):
        count = torch.int64 if isinstance(optimizer, torch.optim.SparseAdam) else torch.float32
        return torch.tensor(value, dtype=count if isinstance(value, int) else torch.float64)
    if not value.is_sparse:
        return value
    dense = torch.zeros(value.shape, dtype=value.dtype)                     # SGD's momentum of sparse gradients
    dense[value.coalesce()._indices()[0]] = value.coalesce()._values()      # to_dense() loses the sign of zeros
    return dense


def cube_root(x):
    """Of one number, correctly rounded: one bit says whether integers that begin like the root are too small."""
    if not 0 < x < math.inf:
        return x
    fraction, exponent = math.frexp(x)
    shift = 180 + exponent % 3
    cube = int(fraction * 2**53) << shift - 53
    low, high = 0, 1 << 62
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= cube else (low, middle)
    return math.ldexp(float(2 * low + (low**3 < cube)), (exponent - shift) // 3 - 1)


def exact_pow(tensor, exponent):
    if exponent != 1 / 3:
        return torch_pow(tensor, exponent)
    values = tensor.detach().numpy()
    if values.dtype == np.float32:              # no root of a float32 lies near enough the middle between two for a double to miss it
        return torch.from_numpy(np.asarray(np.cbrt(values.astype(np.float64)).astype(np.float32)))
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(np.asarray(np.vectorize(cube_root, otypes=[np.float64])(values)))


torch_pow = torch.Tensor.pow


def bits_of(tensor):
    array = tensor.detach().contiguous().numpy().ravel()
    return array.view(f"u{array.itemsize}")


def tensor_of(spec, position, case, stream, step):
    shape = spec["shape"]
    bits = generate(case["dtype"], case["kind"], case["seed"], stream, position, step, int(np.prod(shape)))
    return torch.from_numpy(bits.view(case["dtype"]).reshape(shape))


def gradient_of(spec, position, case, step):
    if spec["name"] not in case.get("sparse", ()):
        return tensor_of(spec, position, case, GRAD, step)
    indices = row_indices(case["seed"], position, step, spec["shape"][0])
    values = tensor_of({"shape": [len(indices)] + spec["shape"][1:]}, position, case, GRAD, step)
    gradient = sparse_tensor(indices, values.numpy(), spec["shape"])
    if not case.get("coalesced"):
        return gradient
    # The sign is turned first, as where torch coalesces itself: it can be seen where a sum is zero.
    return -(-gradient).coalesce() if case["config"]["defaults"].get("maximize") else gradient.coalesce()


def samples(case, step):
    """What the Hessian is updated with after a step."""
    if step not in case.get("hessian", ()):
        return {}
    return {s["name"]: tensor_of(s, i, case, HESSIAN, step) for i, s in enumerate(case["tensors"])}


def run(case):
    """Yields, after each step and what comes with it, the step, its gradients, each group's lr, the parameters and the optimizer."""
    config, specs = case["config"], case["tensors"]
    params = {s["name"]: torch.nn.Parameter(tensor_of(s, i, case, PARAM, 0)) for i, s in enumerate(specs)}
    groups = [g | {"params": [params[n] for n in g["params"]]} for g in config["param_groups"]]
    assert sorted(n for g in config["param_groups"] for n in g["params"]) == sorted(params), case["name"]
    optimizer = source_of[case["name"]].make(config["optimizer"], groups, config["defaults"])
    scheduler = dict(config.get("scheduler", {}))
    if scheduler:
        scheduler = getattr(torch.optim.lr_scheduler, scheduler.pop("name"))(optimizer, **scheduler)
    absent = {tuple(a) for a in case["absent"]}
    for step in range(case["steps"]):
        for i, s in enumerate(specs):
            params[s["name"]].grad = None if (step, s["name"]) in absent else gradient_of(s, i, case, step)
        grads = {n: p.grad.clone() for n, p in params.items() if p.grad is not None}
        lrs = [math.nan if g["lr"] is None else float(g["lr"]) for g in optimizer.param_groups]
        if step - 1 in case.get("eval", ()):
            optimizer.train()
        if clip := config.get("clip_grad_norm"):
            torch.nn.utils.clip_grad_norm_(params.values(), clip["max_norm"], float(clip.get("norm_type", 2.0)))
        with sums.exact() if case.get("sums") else torch_cases.unrounded() if case.get("unrounded") else contextlib.nullcontext():
            optimizer.step()
        if scheduler:
            scheduler.step()
        if sampled := samples(case, step):
            for name, p in params.items():
                p.grad = sampled[name]
            optimizer.update_hessian()
        if step in case.get("eval", ()):
            optimizer.eval()
        yield step, grads, lrs, params, optimizer


def states(params, optimizer):
    """The tensors after a step, by the names that replay gives them."""
    result = {}
    for name, p in params.items():
        result[f"param/{name}"] = p
        for key, value in sorted(optimizer.state.get(p, {}).items()):
            if value is not None and key not in getattr(optimizer, "unrecorded", ()):
                result[f"state/{name}/{key}"] = plain(value, optimizer)
    return result


# ---- Writing

def dtype_of(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def digest(column, tensor, case):
    if is_bounded(column, case):
        return "~"
    if column.endswith("/step"):                # the count itself says more than its hash
        assert tensor.dtype in (torch.float32, torch.int64) and tensor.shape == ()
        return str(int(tensor))
    return hash32(dtype_of(tensor), bits_of(tensor))


def is_bounded(column, case):
    """Whether the library only comes near the source."""
    kind, *key = column.split("/")[::2]
    return "bound" in case and (key[0] if key else kind) in case["bound"]["columns"]


def hex_of(tensor):
    dtype = dtype_of(tensor)
    return " ".join(f"{int(b):0{FORMATS[dtype].width // 4}x}" for b in canonical(dtype, bits_of(tensor)))


def record(case):
    rows, lr, previous = [], {}, None
    for step, _, lrs, params, optimizer in run(case):
        if lrs != previous:
            lr[step] = " ".join(struct.pack(">d", x).hex() for x in lrs)
            previous = lrs
        now = states(params, optimizer)
        rows.append({c: digest(c, t, case) for c, t in now.items()})
    seen = {c for row in rows for c in row}     # state may appear after the first step
    columns = []
    for name in (s["name"] for s in case["tensors"]):
        columns += [f"param/{name}"] + sorted(c for c in seen if c.startswith(f"state/{name}/"))
    if "relative" in case:
        return lr, [], [], {c: hex_of(t) for c, t in now.items()}
    final = {c: hex_of(t) for c, t in now.items() if t.numel() <= 17 and not c.endswith("/step")}
    assert all(t.numel() <= 17 for c, t in now.items() if is_bounded(c, case)), case["name"]
    return lr, columns, [" ".join(row.get(c, "-") for c in columns) for row in rows], final


def head(file, stock):
    return {"source": origin_of[file](file)} | versions(stock) if file in origin_of else versions(stock)


def versions(stock):
    return {"torch": torch.__version__, "numpy": np.__version__, "libc": "-".join(platform.libc_ver()),
            "sqrt": "torch's own" if stock else "correctly rounded"}


def write_json(path, head, key, entries):
    """One line per entry's line, so that a difference shows where it is."""
    heads = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in head.items())
    path.write_text("{\n" + heads + f' "{key}": [\n' + ",\n".join(entries) + "\n ]\n}\n")


def case_lines(case):
    lr, columns, rows, final = record(case)
    short = {k: case[k] for k in ("name", "dtype", "kind", "seed", "steps", "sums", "relative") if k in case}
    lines = [json.dumps(short)[1:-1]] + [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in case.items() if k not in short]
    lines.append('"lr": ' + json.dumps(lr))
    lines.append('"columns": ' + json.dumps(" ".join(columns)))
    lines.append('"rows": [\n' + ",\n".join(f"{json.dumps(r)}" for r in rows) + "]")
    lines.append('"final": {\n' + ",\n".join(f"{json.dumps(c)}: {json.dumps(v)}" for c, v in final.items()) + "}")
    return "  {" + ",\n   ".join(lines) + "}"


def input_lines():
    """What GoldenInputsTest checks: first values and hashes of generated inputs."""
    lines = []
    for dtype, fmt in FORMATS.items():
        for kind in ("normal", "wide", "constant", "special", "zero"):
            for seed, stream, tensor, step, count in ((7, PARAM, 0, 0, 17), (2**63 + 11, GRAD, 2, 27, 1027)):
                bits = generate(dtype, kind, seed, stream, tensor, step, count)
                first = " ".join(f"{int(b):0{fmt.width // 4}x}" for b in bits[:6])
                lines.append("  " + json.dumps({"dtype": dtype, "kind": kind, "seed": f"{seed:016x}", "stream": stream, "tensor": tensor,
                                                "step": step, "count": count, "first": first, "hash": hash32(dtype, bits)}))
    return lines


def write_safetensors(folder, case, stock):
    from safetensors.numpy import save_file
    case = {k: v for k, v in case.items() if k != "eval"}       # a replay trains from the first step to the last
    trace = {f"param/{s['name']}": tensor_of(s, i, case, PARAM, 0).numpy() for i, s in enumerate(case["tensors"])}
    lr = []
    for step, grads, lrs, params, optimizer in run(case):
        lr.append(lrs)
        for name, gradient in grads.items():
            key = f"grad/{step}/{name}"
            trace |= ({f"{key}.indices": gradient._indices().numpy(), f"{key}.values": gradient._values().numpy()}
                      if gradient.is_sparse else {key: gradient.numpy()})
        trace |= {f"hessian/{step}/{n}": h.numpy() for n, h in samples(case, step).items()}
    expected = {c: t.detach().numpy() for c, t in states(params, optimizer).items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "CONFIG.json").write_text(json.dumps(case["config"], indent=1) + "\n")
    save_file(trace, folder / "TRACE.safetensors")
    save_file(expected, folder / "EXPECTED.safetensors", metadata={"lr": json.dumps(lr)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--safetensors", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--clones", type=pathlib.Path, metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    sources.clones = args.clones
    if args.stock and not (args.out or args.safetensors):
        parser.error("--stock needs --out or --safetensors: the files beside this script hold correctly rounded roots")
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        parser.error("torch runs without fma here; its bits are then others")
    torch.set_num_threads(1)
    if not args.stock:
        torch.Tensor.sqrt, torch.Tensor.sqrt_, torch.Tensor.coalesce = exact_sqrt, exact_sqrt_, ordered_coalesce
        torch.Tensor.pow = exact_pow

    known = {c["name"]: c for cases in CASES.values() for c in cases} if args.safetensors else {"inputs": []} | CASES
    for name in args.names:
        if name not in known:
            parser.error(f"no {'case' if args.safetensors else 'file'} {name}; there are: {' '.join(known)}")
    if args.safetensors:
        for name in args.names or known:
            write_safetensors(args.safetensors / name, known[name], args.stock)
        return
    out = args.out or pathlib.Path(__file__).resolve().parent
    out.mkdir(parents=True, exist_ok=True)
    for file in args.names or known:
        if file == "inputs":
            write_json(out / "inputs.json", {}, "inputs", input_lines())
        else:
            write_json(out / f"{file}.json", head(file, args.stock), "cases", [case_lines(c) for c in CASES[file]])


if __name__ == "__main__":
    main()
