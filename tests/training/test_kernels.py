"""What a processor keeps of products in bfloat16, whose sizes are others in each batch."""

from __future__ import annotations

import subprocess
import sys

import pytest

GROWTH = """
import random
import torch
from encoders.blstm import Blstm, EncoderConfig
from training.kernels import keep_few_kernels

def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

keep_few_kernels()
torch.set_num_threads(1)
network = Blstm(8, EncoderConfig(layers=1, hidden_size=32, subsampling=[1]))
random.seed(0)
seen = []
for step in range(121):
    items, steps = random.randrange(2, 12), random.randrange(20, 120)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(torch.randn(items, steps, 8), torch.full((items,), steps))[0]
    y.square().sum().backward()
    if step in (40, 120):
        seen.append(megabytes())
print(seen[1] - seen[0])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_kernels_for_ever_new_sizes_are_not_all_kept() -> None:
    ran = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=300, check=True)
    assert float(ran.stdout) < 40
