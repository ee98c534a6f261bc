"""Sums that do not depend on the order of their parts, as kernels/leaf.h defines them, and how a source is made to take them."""
import contextlib
import math
import unittest.mock

import numpy as np
import torch

LEAF, LANES, FRACTION = 1024, 128, 90


def leaves(terms):
    """The sums over the leaves of a tensor's float64 terms: element j goes to lane j % LANES, and halves of the lanes are added up."""
    for begin in range(0, terms.size, LEAF):
        lane = np.zeros(LANES)
        for row in range(begin, min(begin + LEAF, terms.size), LANES):
            part = terms[row:min(row + LANES, begin + LEAF)]
            lane[:part.size] += part
        while lane.size > 1:
            lane = lane[:lane.size // 2] + lane[lane.size // 2:]
        yield float(lane[0])


def total(numbers):
    """The sum as an integer of units of 2^(e - FRACTION), e the largest exponent; each is cut off towards zero."""
    numbers = list(numbers)
    special = [x for x in numbers if not math.isfinite(x)]
    if special:
        return sum(special)
    exponent = max([max(-1022, math.frexp(x)[1] - 1) for x in numbers if x] or [-1022])
    cut = 0
    for x in numbers:
        mantissa, e = math.frexp(abs(x))
        shift = e - 53 - exponent + FRACTION
        units = int(mantissa * 2**53)
        units = units << shift if shift >= 0 else units >> -shift
        cut += -units if x < 0 else units
    return math.ldexp(float(cut), exponent - FRACTION)


def square(a, b):
    """A product that is summed up is not rounded to the tensor's type."""
    return torch.mul(a.double(), b.double()) if a is b else torch.mul(a, b)


def doubles(tensor):
    return tensor.detach().double().numpy().ravel()


def leaf_sum(tensor):
    return torch.tensor(total(leaves(doubles(tensor))), dtype=torch.float64)


def mean(tensor, dim=None, keepdim=False):
    """Of everything, or of each row, which is what the first dimension counts."""
    if dim is None:
        return leaf_sum(tensor) / tensor.numel()
    assert keepdim and tuple(dim) == tuple(range(1, tensor.dim()))
    rows = [leaf_sum(row) / row.numel() for row in tensor]
    return torch.stack(rows).to(tensor.dtype).reshape([-1] + [1] * (tensor.dim() - 1))


def norm(tensor, p=2.0):
    assert p == 2.0
    with np.errstate(all="ignore"):
        return leaf_sum(tensor.double().square()).sqrt()


def lerp_(tensor, end, weight):
    """In whole blocks: with a weight of 1 torch's leftover elements differ from those by the sign of zeros."""
    pad = -tensor.numel() % 64
    with torch.no_grad():
        wide = [torch.nn.functional.pad(t.detach().reshape(-1), (0, pad)) for t in (tensor, end)]
        return tensor.copy_(LERP(wide[0], wide[1], weight)[:tensor.numel()].reshape(tensor.shape))


LERP = torch.lerp


def are_exact():
    """Whether exact() is in force."""
    return torch.Tensor.norm is norm


@contextlib.contextmanager
def exact():
    """torch's sums as float64 numbers, taken as above, for the time of a step."""
    replaced = [
        (torch.Tensor, "norm", norm),
        (torch.Tensor, "__mul__", square),
        (torch.Tensor, "sum", leaf_sum),
        (torch.Tensor, "mean", mean),
        (torch.Tensor, "lerp_", lerp_),
        (torch, "norm", norm),
        (torch, "sum", leaf_sum),
        (torch, "pow", lambda t, exponent: t.double() ** exponent),
        (torch, "dot", lambda a, b: leaf_sum(a.double().mul(b.double()))),
    ]
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with contextlib.ExitStack() as stack:
            for place, name, function in replaced:
                stack.enter_context(unittest.mock.patch.object(place, name, function))
            yield
    finally:
        torch.set_default_dtype(default)
