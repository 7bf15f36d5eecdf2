"""A language of three tones, spoken by arrays, and a model that was trained on it in seconds.

What trains is imported by the fixtures that train: tests of texts alone do not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from features import audio
from features.augment import AugmentConfig
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig

if TYPE_CHECKING:
    from asr.recognizer import Recognizer
    from asr.train import TrainConfig
    from training.manifests import Item

RATE = 8000
TONES = {"la": 400.0, "mi": 900.0, "so": 1700.0}
FBANK = FbankConfig(rate=RATE, bins=20)


def say(words: Sequence[str], *, seed: int = 0, rate: int = RATE, pause: float = 0.1) -> np.ndarray:
    """Samples of words that are tones: 0.15 to 0.25 s each, `pause` s around them, in a little noise."""
    rng = np.random.default_rng(seed)
    pieces = [np.zeros(round(pause * rate))]
    for word in words:
        t = np.arange(round(rng.uniform(0.15, 0.25) * rate)) / rate
        tone = 0.3 * np.sin(2 * np.pi * TONES[word] * rng.uniform(0.97, 1.03) * t) * np.hanning(len(t)) ** 0.25
        pieces += [tone, np.zeros(round(pause * rate))]
    samples = np.concatenate(pieces)
    return (samples + 0.003 * rng.standard_normal(len(samples))).astype(np.float32)


def corpus(folder: Path, count: int, *, speakers: int = 4, seed: int = 0) -> Path:
    """A folder of recordings, one subfolder a speaker, with the words beside each."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        words = rng.choice(list(TONES), size=rng.integers(1, 6)).tolist()
        path = folder / f"speaker{k % speakers}" / f"u{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, say(words, seed=seed * 1000 + k, pause=rng.uniform(0.06, 0.35)), RATE)
        path.with_suffix(".txt").write_text(" ".join(words))
    return folder


@pytest.fixture(scope="session")
def speak():
    return say


@pytest.fixture(scope="session")
def make_corpus():
    return corpus


@pytest.fixture(scope="session")
def tones(made_once: Callable[..., Path]) -> Path:
    """The folder `train` holds 96 utterances of 4 speakers, `dev` and `test` 16 of others."""

    def fill(folder: Path) -> None:
        corpus(folder / "train", 96, seed=1)
        corpus(folder / "dev", 16, seed=2)
        corpus(folder / "test", 16, seed=3)

    return made_once("tones", fill)


@pytest.fixture
def items(tones: Path) -> dict[str, list[Item]]:
    """The tones by their part: `train`, `dev` and `test`."""
    from training.manifests import read

    return {part: read(tones / part) for part in ("train", "dev", "test")}


@pytest.fixture(scope="session")
def tone_config() -> TrainConfig:
    from asr.tokens import TokenConfig
    from asr.train import TrainConfig
    from encoders.blstm import EncoderConfig
    from training.config import LoopConfig, OptimizerConfig

    return TrainConfig(
        features=FeatureConfig(fbank=FBANK),
        tokens=TokenConfig(unit="word"),
        encoder=EncoderConfig(layers=1, hidden_size=24, dropout=0.0, subsampling=[3]),
        optimizer=OptimizerConfig(learning_rate=0.02, warmup_steps=10),
        loop=LoopConfig(epochs=8, batch_frames=600, workers=0, threads=1, patience=0),
    )


@pytest.fixture(scope="session")
def augment() -> AugmentConfig:
    """Everything is varied that tones survive."""
    return AugmentConfig(
        speed=(0.9, 1.1),
        gain_db=(-6, 6),
        noise_probability=0.5,
        noise_snr_db=(20, 40),
        reverb_probability=0.3,
        time_masks=1,
        time_mask_frames=3,
        frequency_masks=1,
        frequency_mask_bins=3,
    )


@pytest.fixture(scope="session")
def tone_model(tones: Path, tone_config: TrainConfig, made_once: Callable[..., Path]) -> Path:
    """The directory of a model that has learnt the three words."""

    def fill(out: Path) -> None:
        from asr.train import train
        from training.manifests import read

        train(tone_config, train=read(tones / "train"), dev=read(tones / "dev"), out=out)

    return made_once("trained", fill) / "model"


@pytest.fixture(scope="session")
def tone_recognizer(tone_model: Path) -> Recognizer:
    from asr.recognizer import Recognizer

    return Recognizer.open(tone_model)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory):
    """Make a model directory without training, of labels, their unit and settings of the encoder: its directory."""
    import torch

    from encoders.blstm import EncoderConfig
    from encoders.export import export
    from encoders.network import Network
    from inference import model as models

    def make(
        labels: Sequence[str],
        unit: str,
        *,
        normalization: str = "running",
        seed: int = 0,
        head: str = "ctc",
        **settings: object,
    ) -> Path:
        encoder = {"layers": 2, "hidden_size": 16, "subsampling": [2], **settings}
        torch.manual_seed(seed)
        network = Network(FBANK.bins, len(labels), EncoderConfig(**encoder), head=head)
        with torch.no_grad():
            network.head.linear.weight.mul_(30)  # sure of itself, and of many labels
        exported = export(network)
        return models.save(
            tmp_path_factory.mktemp("untrained") / "model",
            graph=exported.graph,
            weights=exported.weights,
            extractor=FeatureExtractor(FeatureConfig(fbank=FBANK, normalization=normalization)),
            labels=labels,
            encoder=encoder,
            tokens={"unit": unit},
            head={"kind": head},
            card="",
        ).directory

    return make


@pytest.fixture(scope="session")
def named_tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `train` and `test` of single words, in a subfolder for each word and one for each of three speakers."""
    folder = tmp_path_factory.mktemp("named")
    for part, count, first in (("train", 8, 0), ("test", 2, 1000)):
        for number, (word, speaker, k) in enumerate(
            (word, speaker, k) for word in TONES for speaker in ("anna", "ben", "cleo") for k in range(count)
        ):
            path = folder / part / word / speaker / f"{k}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, say([word], seed=first + number), RATE)
    return folder


CLASS_OPTIONS = [
    *("--head.kind=class", f"--features.fbank.rate={RATE}", "--features.fbank.bins=20", "--encoder.layers=1"),
    *("--encoder.hidden_size=16", "--encoder.dropout=0", "--optimizer.learning_rate=0.02", "--loop.batch_frames=600"),
    *("--optimizer.warmup_steps=5", "--loop.epochs=6", "--loop.workers=0", "--loop.threads=1"),
]


@pytest.fixture(scope="session")
def class_options() -> list[str]:
    """Options of `asr train` for a small model of labels that trains in seconds."""
    return CLASS_OPTIONS


@pytest.fixture(scope="session")
def named_model(named_tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a model that names the word of a recording, made by the command."""
    from asr.cli import main

    out = tmp_path_factory.mktemp("naming")
    assert main(["train", str(named_tones / "train"), "--out", str(out), *CLASS_OPTIONS]) == 0
    return out / "model"
