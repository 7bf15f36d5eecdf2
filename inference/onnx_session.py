"""How every graph is opened: on the processor, with no more threads than it has cores, and silent."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime


def open_graph(graph: Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime; what it raises for a damaged file are classes of its own.

    Args:
        graph: The file; its weights lie beside it.
        threads: Threads for one product; 0 lets ONNX Runtime take every core.
    """
    options = onnxruntime.SessionOptions()
    # More threads than cores only take memory and time to start.
    options.intra_op_num_threads = min(threads, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
