"""torch.optim's fused AdamW, or its Adafactor, as GpuBenchmark.java's other side: for each line of JSON read it makes the tensors, steps, frees them, and
prints a line of JSON.

    {"optimizer": "AdamW", "shapes": [[768, 2304], ...], "dtype": "float32"}   ->   {"seconds": of one step, host time included}
"""
import json
import sys
import time

try:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError(f"torch {torch.__version__} finds no CUDA device")
    print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name()}), flush=True)
except Exception as reason:
    print(json.dumps({"error": str(reason)}), flush=True)
    sys.exit()


def measure(name, shapes, dtype):
    params = []
    for shape in shapes:
        p = torch.nn.Parameter(torch.full(shape, 0.5, dtype=getattr(torch, dtype), device="cuda"))
        p.grad = torch.full_like(p, 1e-3)
        params.append(p)
    if name == "AdamW":
        optimizer = torch.optim.AdamW(params, lr=1e-3, weight_decay=1e-2, fused=True)
    else:
        optimizer = torch.optim.Adafactor(params, lr=1e-3, foreach=True)  # there is no fused one

    def steps(count):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            optimizer.step()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    steps(3)
    return steps(max(5, min(2000, int(0.3 / max(1e-6, steps(5))))))


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"seconds": measure(request["optimizer"], request["shapes"], request["dtype"])}
    except Exception as reason:
        answer = {"error": str(reason).splitlines()[0]}
    torch.cuda.empty_cache()
    print(json.dumps(answer), flush=True)
