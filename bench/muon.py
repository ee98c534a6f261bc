"""torch.optim.Muon as MuonBenchmark.java's other side: takes a step for each line read, and prints how long it took, in seconds.

    python muon.py THREADS COUNTxROWSxCOLUMNS ...
"""
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
params = []
for shapes in sys.argv[2:]:
    count, rows, columns = map(int, shapes.split("x"))
    params += [torch.nn.Parameter(torch.randn(rows, columns)) for _ in range(count)]
for p in params:
    p.grad = torch.randn_like(p)
muon = torch.optim.Muon(params, lr=0.02)
print(torch.__version__, flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    muon.step()
    print(time.perf_counter() - start, flush=True)
