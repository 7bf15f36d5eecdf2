"""What a processor keeps of its products, said before torch is asked for the first: imports nothing of training."""

from __future__ import annotations

import os


def keep_few_kernels() -> None:
    """Bound what a processor keeps of its products in bfloat16; to be called before the first of them.

    Torch and oneDNN each keep the last 1,024 kernels, one for every size of a matrix, and batches have ever new sizes:
    several gigabytes, of which no more is found again than what the layers of one batch have in common.
    """
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")
