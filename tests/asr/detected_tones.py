"""A model with weights set by hand that hears three tones, sound made of them, and what must hold of its events.

This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import pytest

from asr.stream import SpeechEvent, SpeechSession
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.model import BLANK, Model

RATE = 8000
STEP = 0.03


# Hz of the tones that the labels 1, 2 and 3 of a detector stand for, and the filterbank channel of each.
TONES = {1: (400.0, 4), 2: (900.0, 8), 3: (1700.0, 12)}


def sound(*parts: tuple[int, float], rate: int = RATE) -> np.ndarray:
    """Samples of (label, seconds) one after the other; label 0 is digital silence."""
    ends = np.cumsum([round(length * rate) for _, length in parts])
    samples = np.zeros(ends[-1], np.float32)
    for (label, length), end in zip(parts, ends, strict=True):
        if label:
            begin = end - round(length * rate)
            samples[begin:end] = 0.3 * np.sin(2 * np.pi * TONES[label][0] / rate * np.arange(end - begin))
    return samples


def detector(folder: Path, labels: Sequence[str], unit: str) -> Model:
    """A model with weights set by hand that says a label in just those steps in which its tone is heard."""
    import torch

    from encoders.blstm import EncoderConfig
    from encoders.export import export
    from encoders.network import Network

    fbank = FbankConfig(rate=RATE, bins=20)
    network = Network(fbank.bins, 4, EncoderConfig(layers=1, hidden_size=3, subsampling=[3]))
    lstm, head = network.encoder.forwards[0].native, network.head.linear
    with torch.no_grad():
        for parameter in (*lstm.parameters(), *head.parameters()):
            parameter.zero_()
        inward, forget, candidate, outward = lstm.bias_ih_l0.view(4, 3)
        inward += 20.0
        forget -= 20.0
        outward += 20.0
        candidate -= 20.5
        for unit_number, (_, channel) in enumerate(TONES.values()):
            lstm.weight_ih_l0[6 + unit_number, channel :: fbank.bins] = 1 / 3
            head.weight[1 + unit_number, unit_number] = 10.0
    exported = export(network)
    return models.save(
        folder / "tones",
        graph=exported.graph,
        weights=exported.weights,
        extractor=FeatureExtractor(FeatureConfig(fbank=fbank, normalization="none")),
        labels=labels,
        encoder={"layers": 1, "hidden_size": 3, "subsampling": [3]},
        tokens={"unit": unit},
        card="",
    )


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return detector(tmp_path_factory.mktemp("detector"), (BLANK, "la", "mi", "so"), "word")


def run(session: SpeechSession, samples: np.ndarray, sizes: Sequence[int] = (10**9,)) -> list[SpeechEvent]:
    """The events of a whole stream, pushed in blocks of the sizes given, over and over."""
    events, position = [], 0
    for size in cycle(sizes):
        events += session.push(samples[position : position + size])
        position += size
        if position >= len(samples):
            return events + session.flush()


def final_text(events: Sequence[SpeechEvent]) -> str:
    return " ".join(event.text for event in events if event.final)


def check_promises(events: Sequence[SpeechEvent]) -> None:
    """What is stable begins every later text of the segment, or of what follows it where nobody paused."""
    stable, ended = "", 0.0
    for event in events:
        assert event.text.startswith(event.stable)
        assert event.text.split() == " ".join(word.text for word in event.words).split()
        assert 0 <= event.start <= event.end
        assert 0 <= event.confidence <= 1
        assert all(one.end <= other.start for one, other in pairwise(event.words))
        if event.final:
            assert event.text
            assert event.text == event.stable
            assert event.start >= ended
            # Of what was stable, the word that goes on may come with the next events.
            assert event.text.startswith(stable) or stable.startswith(event.text)
            stable = "" if event.text.startswith(stable) else stable.removeprefix(event.text).lstrip()
            ended = event.end
        else:
            assert event.text.startswith(stable)
            stable = event.stable
    assert not stable, "all that was stable became final"
    assert not events or events[-1].final or not events[-1].text, "nothing is left on the screen"
