"""A small untrained model, saved. This file is no package's part: take it with `runpy.run_path`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import torch

from encoders.blstm import EncoderConfig
from encoders.export import export
from encoders.network import Network
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.model import BLANK, Model

ALL_LABELS = (BLANK, "a", "क", "ש", "<space>")


def save(
    directory: Path, *, seed: int = 0, bins: int = 8, labels: tuple[str, ...] = ALL_LABELS, card: str = "# A card\n"
) -> Model:
    """An untrained model."""
    config = EncoderConfig(layers=2, hidden_size=6, subsampling=[1, 2])
    torch.manual_seed(seed)
    exported = export(Network(bins, len(labels), config))
    rng = np.random.default_rng(seed)
    return models.save(
        directory,
        graph=exported.graph,
        weights=exported.weights,
        extractor=FeatureExtractor(
            FeatureConfig(fbank=FbankConfig(rate=8000, bins=bins)),
            mean=rng.normal(size=bins),
            std=rng.uniform(1, 2, bins),
        ),
        labels=labels,
        encoder={"cell": "lstm", "layers": 2, "hidden_size": 6, "subsampling": [1, 2]},
        tokens={"unit": "char"},
        card=card,
    )


def run_python(program: str, *arguments: object, **settings) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)
