"""PyTorch's side of `panoptim bench`. The first line read says what to do:

    {"variant": "fused", "rule": "AdamW", "threads": 2, "extent": "STEP", "lr": ..., "max_norm": ..., "decay": ..., "scale": ...,
     "shapes": [[1024], ...]}

For each further one, "steps COUNT" or "checksum", it prints seconds or a sum.
"""
import gc
import json
import sys
import time

import torch

given = json.loads(sys.stdin.readline())
torch.set_num_threads(given["threads"])
WORD = 0xFFFFFFFF


def number(seed, shape):
    """As io.panoptim.tools.bench.Inputs; products wrap around in 64 bits."""
    count = 1
    for size in shape:
        count *= size
    x = (torch.arange(count, dtype=torch.int64) * 2654435761 + seed * 2246822519 + 12345) & WORD
    x ^= x >> 15
    x = x * 2246822519 & WORD
    x ^= x >> 13
    x = x * 3266489917 & WORD
    x ^= x >> 16
    return (x.double() / 2.0**32 - 0.5).float().reshape(shape)


params = [torch.nn.Parameter(number(2 * k, shape)) for k, shape in enumerate(given["shapes"])]
for k, p in enumerate(params):
    p.grad = number(2 * k + 1, p.shape)
variant = {"fused": {"fused": True}, "foreach": {"foreach": True}, "for-loop": {"foreach": False}}[given["variant"]]
extra = {"momentum": 0.9} if given["rule"] == "SGD" else {}
optimizer = getattr(torch.optim, given["rule"])(params, lr=given["lr"], **variant, **extra)
whole = given["extent"] != "STEP"
scaled = given["extent"] == "SCALED"
if whole:
    grads = [p.grad for p in params]
    originals = [g * given["scale"] if scaled else g.clone() for g in grads]
    values = [p.detach() for p in params]
    averages = [p.detach().clone() for p in params]
if scaled:
    scaler = torch.amp.GradScaler("cpu", init_scale=given["scale"], growth_interval=2**31 - 1)
    scaler.scale(torch.ones(()))  # or it refuses to unscale


def steps(count):
    if not whole:
        start = time.perf_counter()
        for _ in range(count):
            optimizer.step()
        return time.perf_counter() - start
    seconds = 0.0
    for _ in range(count):
        torch._foreach_copy_(grads, originals)
        start = time.perf_counter()
        if scaled:
            scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(params, given["max_norm"])
        if scaled:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        torch._foreach_lerp_(averages, values, 1 - given["decay"])
        optimizer.zero_grad(set_to_none=False)
        seconds += time.perf_counter() - start
    return seconds


gc.disable()
print(f"PyTorch {torch.__version__} {given['variant']}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "steps":
        print(steps(int(words[1])), flush=True)
    else:
        print(sum(p.detach().double().abs().sum().item() for p in params), flush=True)
