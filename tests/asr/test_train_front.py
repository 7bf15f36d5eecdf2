"""Words by an encoder with all that is around its layers: convolutions, normalisation, one mask an item, inner CTC."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr.recognizer import Recognizer
from asr.stream import SpeechSession
from asr.train import TrainConfig, train
from encoders.blstm import EncoderConfig
from features import audio
from inference import model as models
from inference.endpoint import NEVER
from training.config import IntermediateConfig
from training.latency import LatencyConfig
from training.run import network_of

RATE = 8000
ENCODER = EncoderConfig(
    layers=2,
    hidden_size=16,
    dropout=0.1,
    dropout_mask="sequence",
    convolution=4,
    subsampling=[1],
    output_norm=True,
)


def trained(tone_config: TrainConfig, items: dict, out: Path, *, epochs: int) -> Recognizer:
    config = replace(
        tone_config,
        encoder=ENCODER,
        loop=replace(tone_config.loop, epochs=epochs),
        latency=LatencyConfig(chunk_ms=(200, 800)),
        intermediate=IntermediateConfig(0.3),
    )
    return Recognizer(train(config, train=items["train"], dev=items["dev"], out=out))


def test_the_model_directory_says_what_it_is(tone_config: TrainConfig, items, tmp_path: Path) -> None:
    model = models.load(trained(tone_config, items, tmp_path, epochs=1).model.directory)
    assert (model.subsampling, model.step_seconds) == (4, pytest.approx(0.04))
    assert "4 frames a step, convolutions of 4 maps before them, CTC" in model.card
    network = network_of(model)
    assert network.encoder.config == ENCODER
    frames_TF = model.extractor(np.sin(np.arange(9000, dtype=np.float32)))
    with torch.no_grad():
        scores_BTV, _ = network(torch.from_numpy(frames_TF)[None], torch.tensor([len(frames_TF)]))
    np.testing.assert_allclose(model.scorer.full(frames_TF), scores_BTV[0].numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_it_learns_words(tone_config: TrainConfig, items, tmp_path: Path) -> None:
    recognizer = trained(tone_config, items, tmp_path, epochs=12)
    said = [recognizer.transcribe(item.path).text for item in items["test"]]
    in_chunks = [recognizer.transcribe(item.path, window=(0.4, 0.2)).text for item in items["test"]]
    wanted = [item.text for item in items["test"]]
    assert sum(map(str.__eq__, said, wanted)) >= 14
    assert sum(map(str.__eq__, in_chunks, wanted)) >= 14


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_says_what_the_recording_does_in_the_same_windows(untrained, items, seed: int) -> None:
    shape = {"convolution": 3, "subsampling": [1, 2], "output_norm": True}
    recognizer = Recognizer.open(untrained(["<blank>", "a", "b", "c"], "word", seed=seed, **shape))
    samples_S = np.concatenate([audio.read(item.path)[0] for item in items["test"][3 * seed : 3 * seed + 3]])
    whole = recognizer.transcribe((samples_S, RATE), window=(0.4, 0.24))
    session = SpeechSession(recognizer.model, rate=RATE, chunk=0.4, lookahead=0.24, rules=NEVER)
    rng, events, place = np.random.default_rng(seed), [], 0
    while place < len(samples_S):
        size = int(rng.integers(1, 3000))
        events += session.push(samples_S[place : place + size])
        place += size
    events += session.flush()
    words = [word for event in events if event.final for word in event.words]
    assert len(words) > 3
    assert [(word.text, word.start, word.end) for word in words] == [
        (word.text, pytest.approx(word.start), pytest.approx(word.end)) for word in whole.words
    ]
