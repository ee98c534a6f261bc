"""Writes torchao-states.json: codes and scales that torchao's quantisation gives optimizer states.

    python src/test/golden/torchao_states.py

The formulas are those of pytorch/ao at 029bb60a: torchao/optim/quant_utils.py (create_dynamic_map, scale_tensor,
quantize_4bit_with_qmap, dequant_with_qmap), subclass_4bit.py (get_qmap_unsigned, packing, blocks of 128) and subclass_fp8.py
(quantize_fp8, blocks of 256), in torch's operations; torchao itself need not be installed. Numbers are made from an integer hash, here
and by TorchaoStatesTest, and codes and numbers are kept as SHA-256 of their bytes, with the first few to look at.
"""
import hashlib
import json
import pathlib

import torch

SIZE = 4096


def numbers(seed, signed):
    """Of many magnitudes, block by block, with zeros: exact in float32 on either side."""
    out = []
    for i in range(SIZE):
        x = (i * 2654435761 + seed * 40503) & 0xFFFFFFFF
        x = ((x ^ x >> 16) * 0x7FEB352D) & 0xFFFFFFFF
        x = ((x ^ x >> 15) * 0x846CA68B) & 0xFFFFFFFF
        x ^= x >> 16
        fraction = (x & 0xFFFFFF) / 2.0**24
        scale = 2.0 ** (-(x >> 24 & 7) - (i // 128 % 23))
        sign = -1 if signed and x >> 27 & 1 else 1
        out.append(0.0 if x >> 28 == 0 else sign * fraction * scale)
    return torch.tensor(out, dtype=torch.float32)


def dynamic_map(max_exponent_bits, total_bits):
    data = []
    non_sign_bits = total_bits - 1
    for i in range(max_exponent_bits):
        boundaries = torch.linspace(0.1, 1, 2 ** (i + non_sign_bits - max_exponent_bits) + 1)
        means = (boundaries[:-1] + boundaries[1:]) / 2.0
        data += ((10 ** (-(max_exponent_bits - 1) + i)) * means).tolist()
        data += (-(10 ** (-(max_exponent_bits - 1) + i)) * means).tolist()
    data += [0, 1.0]
    assert len(data) == 2**total_bits
    return sorted(data)


def four_bits(state, qmap):
    blocks = state.view(-1, 128)
    scale = blocks.abs().amax(-1).clip(1e-12)
    scaled = (blocks / scale.view(-1, 1)).view(-1)
    codes = torch.where(scaled >= qmap[8], 8, 0)
    codes += torch.where(scaled >= qmap[codes + 4], 4, 0)
    codes += torch.where(scaled >= qmap[codes + 2], 2, 0)
    codes += torch.where(scaled >= qmap[codes + 1], 1, 0)
    up = (codes + 1).clip(max=15)
    codes = torch.where(scaled - qmap[codes] >= (qmap[up] - qmap[codes]) * 0.5, up, codes).to(torch.uint8)
    values = (qmap[codes.int()].view(scale.shape[0], -1) * scale.view(-1, 1)).view(-1)
    return (codes[::2] << 4) | codes[1::2], scale, values


def float8(state):
    blocks = state.view(-1, 256)
    scale = blocks.abs().amax(-1).clip(1e-12) / torch.finfo(torch.float8_e4m3fn).max
    codes = (blocks / scale.view(-1, 1)).to(torch.float8_e4m3fn)
    values = (codes.float() * scale.view(-1, 1)).view(-1)
    return codes.view(torch.uint8).view(-1), scale, values


def described(codes, scale, values):
    digest = lambda tensor: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
    return {"codes": digest(codes), "scales": digest(scale), "values": digest(values), "first_codes": codes[:16].tolist()}


def main():
    signed, unsigned = numbers(1, True), numbers(2, False)
    linear = torch.linspace(0, 1, 17)[1:]
    golden = {
        "torch": torch.__version__,
        "size": SIZE,
        "DYNAMIC4_SIGNED": described(*four_bits(signed, torch.tensor(dynamic_map(3, 4)))),
        "LINEAR4_UNSIGNED": described(*four_bits(unsigned, linear)),
        "FLOAT8_SIGNED": described(*float8(signed)),
    }
    path = pathlib.Path(__file__).with_name("torchao-states.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
