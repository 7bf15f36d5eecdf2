"""Labels of recordings: as torch gives them, alone or padded, whole or in windows; and what has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import asr
import gestures
from asr.classifier import Classifier, ClassifyError
from asr.recognizer import Recognizer
from asr.tokens import TokenError
from features import audio
from inference import model as models
from inference.model import BLANK, ModelError
from inference.pooling import pool

RATE = 8000
LABELS = ["angry", "sad", "very happy"]


@pytest.fixture(scope="module")
def classifier(untrained) -> Classifier:
    return Classifier.open(untrained(LABELS, "class", head="class", seed=1))


def noise(seconds: float, seed: int = 0) -> tuple[np.ndarray, int]:
    # A tone comes and goes, so that stretches differ.
    time_S = np.arange(round(seconds * RATE)) / RATE
    tone_S = 0.3 * np.sin(2 * np.pi * 700 * time_S) * (np.sin(0.7 * time_S) > 0)
    return (tone_S + 0.05 * np.random.default_rng(seed).standard_normal(len(time_S))).astype(np.float32), RATE


def probabilities(classifier: Classifier, source: audio.Source, **settings) -> np.ndarray:
    found = classifier.classify(source, **settings)
    assert list(found.probabilities) == LABELS
    return np.array(list(found.probabilities.values()))


def test_labels_are_those_of_torch_alone_and_padded_in_a_batch(classifier: Classifier) -> None:
    import torch
    from safetensors.numpy import load_file

    from encoders.blstm import EncoderConfig
    from encoders.heads import pool as pooled
    from encoders.network import Network

    model = classifier.model
    network = Network(20, len(LABELS), EncoderConfig(**model.encoder), head="class").eval()
    arrays = load_file(model.directory / models.WEIGHTS)
    network.load_encoder(arrays)
    network.load_head(arrays, rows={row: row for row in range(len(LABELS) + 1)})
    recordings = [noise(seconds, seed) for seed, seconds in enumerate((0.3, 2.0, 1.13))]
    frames = [torch.from_numpy(model.extractor(samples_S)) for samples_S, _ in recordings]
    frames_BTF = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True, padding_value=9.0)
    with torch.no_grad():
        evidence_BTE, lengths_B = network(frames_BTF, torch.tensor([len(one) for one in frames]))
        spans_BL2 = torch.tensor([[[0, length]] for length in lengths_B.tolist()])
        expected_BV = pooled(evidence_BTE, spans_BL2)[:, 0].exp().numpy()
    for recording, expected_V in zip(recordings, expected_BV, strict=True):
        np.testing.assert_allclose(probabilities(classifier, recording), expected_V, rtol=0, atol=1e-5)
    assert np.ptp(expected_BV, axis=0).max() > 0.01, "recordings that all have one answer would show nothing"


def test_a_long_recording_is_pooled_as_it_comes(classifier: Classifier) -> None:
    recording = noise(70.0)
    model = classifier.model
    frames = (round(seconds / model.extractor.shift_seconds) for seconds in (30.0, 3.0))
    chunk, lookahead = (model.scorer.round_up(count) for count in frames)
    evidence_TE = model.scorer.windowed([model.extractor(recording[0])], chunk=chunk, lookahead=lookahead)
    np.testing.assert_allclose(probabilities(classifier, recording), pool(evidence_TE), rtol=0, atol=1e-9)


def test_a_part_of_a_recording_is_as_if_it_came_alone(classifier: Classifier) -> None:
    samples_S, rate = noise(3.0)
    part = classifier.classify((samples_S, rate), start=1.0, duration=1.5)
    assert part == classifier.classify((samples_S[rate : round(2.5 * rate)], rate))
    assert (part.start, part.end) == (0.0, 1.5)


def test_windows_are_pools_of_their_steps(classifier: Classifier) -> None:
    recording = noise(5.3)
    evidence_TE = classifier.model.scorer.full(classifier.model.extractor(recording[0]))
    step = classifier.model.step_seconds
    found = classifier.over_time(recording, window=2.0, hop=0.5)
    ends = [*range(25, len(evidence_TE), 25), len(evidence_TE)]  # a step is 20 ms
    assert [one.end for one in found] == pytest.approx([*(end * step for end in ends[:-1]), 5.3])
    for one, end in zip(found, ends, strict=True):
        first = max(0, end - 100)
        assert one.start == pytest.approx(first * step)
        expected_V = pool(evidence_TE[first:end])
        np.testing.assert_allclose(list(one.probabilities.values()), expected_V, rtol=0, atol=1e-9)
    assert len({one.label for one in found}) > 1


def test_one_window_for_all_is_the_whole(classifier: Classifier) -> None:
    recording = noise(2.0)
    [only] = classifier.over_time(recording, window=60.0)
    whole = classifier.classify(recording)
    assert (only.start, only.end, only.label) == (whole.start, whole.end, whole.label)
    assert only.confidence == pytest.approx(whole.confidence, abs=1e-12)


def test_ranked_labels_are_those_of_the_probabilities(classifier: Classifier) -> None:
    found = classifier.classify(noise(1.0))
    ranked = found.ranked(9)
    assert dict(ranked) == found.probabilities
    assert [share for _, share in ranked] == sorted(found.probabilities.values(), reverse=True)
    assert found.ranked(1) == [(found.label, found.confidence)]
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_what_is_shorter_than_a_frame_has_no_label(classifier: Classifier, tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "short.wav"
    audio.write(path, np.zeros(round(seconds * RATE), np.float32), RATE)
    for judge in (classifier.classify, lambda source: classifier.over_time(source, window=1.0)):
        with pytest.raises(ClassifyError, match=r"short\.wav: too short to have a label \(0\.0"):
            judge(str(path))


def test_silence_has_a_label_like_any_other_sound(classifier: Classifier) -> None:
    assert np.isfinite(probabilities(classifier, (np.zeros(RATE, np.float32), RATE))).all()


@pytest.mark.parametrize(("window", "hop"), [(0.0, None), (1.0, 0.0), (1.0, 2.0)])
def test_windows_that_cannot_be_are_refused(classifier: Classifier, window: float, hop: float | None) -> None:
    with pytest.raises(ClassifyError, match="hop at most a window"):
        classifier.over_time(noise(1.0), window=window, hop=hop)


def test_a_model_of_the_other_kind_is_refused_with_the_command_for_it(classifier: Classifier, untrained) -> None:
    with pytest.raises(TokenError, match=r"one of 3 labels and writes no words; use `asr classify`"):
        Recognizer(classifier.model)
    with pytest.raises(TokenError, match="asr classify"):
        asr.load(str(classifier.model.directory))
    with pytest.raises(ModelError, match="writes down words and gives no labels; use `asr transcribe`"):
        asr.load_classifier(str(untrained([BLANK, "a"], "char")))
    hands = gestures.load("hands").model
    with pytest.raises(ModelError, match="names gestures, not recordings; use `gestures recognize`"):
        Classifier(hands)
    with pytest.raises(ModelError, match="recognises gestures, not speech"):
        Recognizer(hands)
