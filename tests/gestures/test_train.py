"""Training of gestures: examples are pure, runs resume exactly, both heads learn, and what cannot be is one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.blstm import EncoderConfig
from features import landmark_files
from features.landmark_augment import LandmarkAugmentConfig
from features.landmarks import RIGHT_HAND, LandmarkError
from gestures.clips import read_clips
from gestures.joining import JoinConfig
from gestures.reading import ReadClips
from gestures.recognizer import Recognizer
from gestures.train import TrainConfig, make_extractor, train
from gestures.train_data import HeadConfig, LoadGestures, labelled, labels_of
from inference import model as models
from training.config import LoopConfig, OptimizerConfig
from training.loop import Training
from training.manifests import Item, ManifestError, Segment

AUGMENT = LandmarkAugmentConfig(
    trim_ms=100, speed=(0.8, 1.2), time_warp=0.2, rotation_degrees=10, jitter=0.01, frame_dropout=0.1, hand_dropout=0.3
)
JOINED = JoinConfig(share=1.0, clips=(1, 3), pause_ms=(200, 800))


@pytest.fixture(scope="module")
def items(moves: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return read_clips(moves / "train", tmp_path_factory.mktemp("landmarks")).items


@pytest.fixture(scope="module")
def config(moves_recognizer: Recognizer) -> TrainConfig:
    return TrainConfig(
        features=moves_recognizer.model.extractor.config,
        augment=AUGMENT,
        join=JOINED,
        head=HeadConfig(none=True, window_ms=800, hop_ms=80, windows=6),
        encoder=EncoderConfig(layers=1, hidden_size=8, dropout=0.2, subsampling=[2]),
        optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=5),
        loop=LoopConfig(epochs=3, batch_frames=120, workers=0, threads=1, patience=0, average=0.9),
    )


def loader(items: list[Item], config: TrainConfig) -> LoadGestures:
    labels = labels_of(items, config.head)
    extractor = make_extractor(config.features, items)
    return LoadGestures(extractor, labels, config.head, config.augment, config.join, (items, items[::5]))


def test_an_example_is_a_function_of_its_item_and_its_draws(items, config: TrainConfig) -> None:
    one, other = loader(items, config), loader(items, config)
    for number in (3, 11):
        other(items[0], np.random.default_rng(99))  # what was made before changes nothing
        first, second = (load(items[number], np.random.default_rng([1, number])) for load in (one, other))
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
        again = one(items[number], np.random.default_rng([2, number]))
        assert again.frames_TF.shape != first.frames_TF.shape or (again.frames_TF != first.frames_TF).any()
    for a, b in zip(one(items[7], None), other(items[7], None), strict=True):
        np.testing.assert_array_equal(a, b)


def test_windows_of_a_stream_lie_in_it_and_have_labels(items, config: TrainConfig) -> None:
    load = loader(items, config)
    seen = set()
    for number, item in enumerate(items):
        example = load(item, np.random.default_rng([0, number]))
        assert len(example.targets_L) <= config.head.windows
        assert (example.spans_L2[:, 0] < example.spans_L2[:, 1]).all()
        assert example.spans_L2.max() <= len(example.frames_TF)
        seen.update(example.targets_L.tolist())
    assert seen == {0, 1, 2, 3}


def test_a_clip_alone_is_labelled_from_end_to_end(items, config: TrainConfig) -> None:
    load = loader(items, replace(config, join=JoinConfig()))
    for item in items[::7]:
        example = load(item, np.random.default_rng(0))
        assert example.spans_L2.tolist() == [[0, len(example.frames_TF)]]
        assert example.targets_L.tolist() == [("none", "circle", "raise", "wave").index(item.text)]


def test_a_sequence_has_its_labels_in_order_and_rest_has_none(items, config: TrainConfig) -> None:
    head = HeadConfig(kind="ctc")
    load = LoadGestures(
        make_extractor(config.features, items), ("<blank>", "circle", "raise", "wave"), head, AUGMENT, JOINED,
        (items, items),
    )  # fmt: skip
    lengths = [len(load(item, np.random.default_rng([0, k])).targets_L) for k, item in enumerate(items)]
    assert set(lengths) == {0, 1, 2, 3}
    assert load(items[0], np.random.default_rng(0)).spans_L2 is None


def test_what_a_model_does_not_know_is_left_out(items) -> None:
    stream = Item("s", "x", 0.0, 5.0, "", "", (Segment(0, 1, "wave"), Segment(2, 3, "none")))
    idle = replace(stream, segments=())
    plain, spotting, sequence = HeadConfig(), HeadConfig(none=True), HeadConfig(kind="ctc")
    known = ("none", "wave")
    for head, labels, expected in (
        (spotting, known, ["wave", "none"]),
        (sequence, ("wave",), ["wave", "none"]),
        (plain, ("wave",), ["wave"]),
    ):
        assert [one.label for one in labelled([stream], labels, head)[0].segments] == expected
        # In a stream with a gesture that the model does not know, silence about it would be wrong.
        jumping = replace(stream, segments=(*stream.segments, Segment(3.5, 4, "jump")))
        assert labelled([jumping], labels, head) == []
        # Idle streams teach what is none; a model without `none` learns nothing of them.
        assert labelled([idle], labels, head) == ([] if head is plain else [idle])
    assert not labelled([stream], ("wave",), plain)[0].whole
    assert labels_of(items, plain) == ("circle", "raise", "wave")
    assert labels_of(items, spotting) == ("none", "circle", "raise", "wave")


def interrupted_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    step, taken = Training.training_step, [0]

    def counting(self: Training, batch, batch_idx):
        taken[0] += 1
        if taken[0] > steps:
            raise RuntimeError("the power is cut")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", counting)


@pytest.mark.parametrize("kind", ["class", "ctc"])
def test_resumed_equals_uninterrupted(items, config, kind: str, tmp_path: Path, monkeypatch) -> None:
    head = config.head if kind == "class" else HeadConfig(kind="ctc")
    settings = replace(config, head=head, loop=replace(config.loop, epochs=2))
    data = {"train": items[::2], "dev": items[::6]}
    whole = train(settings, **data, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupted_after(patch, 4)
        with pytest.raises(RuntimeError, match="power"):
            train(settings, **data, out=tmp_path / "cut")
    resumed = train(settings, **data, out=tmp_path / "cut")
    for name in (models.WEIGHTS, models.CONFIG, models.LABELS, models.GRAPH):
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes(), name
    assert "going on from" in (tmp_path / "cut" / "run" / "train.log").read_text()


def test_the_model_says_what_it_was_trained_for(moves_recognizer: Recognizer) -> None:
    model = moves_recognizer.model
    assert model.head["kind"] == "class"
    assert (model.head["window_ms"], model.head["hop_ms"]) == (1200.0, 80.0)
    assert model.head["rules"]["enter"] == 0.7
    assert model.latency["chunk_ms"] == [160.0, 640.0]
    assert "48 clips" in model.card or "clips" in model.card
    assert "attention pooling, 4 labels" in model.card


def test_training_goes_on_from_a_model_with_other_labels(items, config, moves_recognizer, tmp_path: Path) -> None:
    """Labels in common keep their columns of the head, and so does the energy of attention."""
    start = moves_recognizer.model
    some = [item for item in items if item.text in ("wave", "none")]
    quick = replace(config, loop=replace(config.loop, epochs=1, average=0.0))
    frozen = replace(quick, optimizer=OptimizerConfig(learning_rate=1e-12, weight_decay=0.0, warmup_steps=0))
    more = [*some, *(replace(item, segments=(Segment(0.0, item.duration, "bow"),)) for item in items[:3])]
    model = train(frozen, train=more, dev=more[::4], out=tmp_path, start_from=start)
    from safetensors.numpy import load_file

    before, after = (load_file(one.directory / models.WEIGHTS) for one in (start, model))
    assert model.labels == ("none", "bow", "wave")
    for here, there in ((0, 0), (2, 3), (3, 4)):
        np.testing.assert_allclose(after["head.weight"][:, here], before["head.weight"][:, there], atol=1e-6)
    assert model.extractor.config == start.extractor.config


def test_a_model_of_speech_is_no_beginning(items, config, tmp_path: Path) -> None:
    from asr.shipped import find

    with pytest.raises(models.ModelError, match="it reads other data"):
        train(config, train=items, dev=items[::6], out=tmp_path, start_from=models.load(find("digits")))


def test_one_label_is_none_to_tell_apart(items, config, tmp_path: Path) -> None:
    waves = [item for item in items if item.text == "wave"]
    with pytest.raises(ManifestError, match="one label, wave: two at least"):
        train(replace(config, head=HeadConfig()), train=waves, dev=waves[:2], out=tmp_path)


def test_a_file_that_is_gone_is_named(items, config, tmp_path: Path) -> None:
    lost = replace(items[3], path=str(tmp_path / "lost.pose"))
    with pytest.raises(LandmarkError, match=r"lost\.pose"):
        train(config, train=[*items, lost], dev=items[::6], out=tmp_path / "out")
    beyond = replace(items[3], start=60.0)
    with pytest.raises(LandmarkError, match="no frames from 60 s on"):
        ReadClips()(beyond)


def test_clips_of_other_points_are_named(items, config, clip: Callable, tmp_path: Path) -> None:
    few = tmp_path / "few.npz"
    landmark_files.write(few, clip("wave").select(RIGHT_HAND))
    mixed = [replace(item, path=str(few)) if item is items[4] else item for item in items]
    config = replace(config, join=replace(config.join, share=1.0, clips=(3, 3)))
    with pytest.raises(LandmarkError, match=r"has other points than .*: extract both anew with the same landmarker"):
        train(config, train=mixed, dev=mixed, out=tmp_path / "out")


def test_both_heads_learn_the_moves(items, config, clip: Callable, tmp_path: Path) -> None:
    """The spotting model of the other tests has learnt them; here the same by CTC."""
    settings = replace(
        config,
        augment=LandmarkAugmentConfig(),
        join=JoinConfig(share=1.0, clips=(1, 2), pause_ms=(200, 600)),
        head=HeadConfig(kind="ctc"),
        encoder=EncoderConfig(layers=1, hidden_size=24, dropout=0.0, subsampling=[2]),
        optimizer=OptimizerConfig(learning_rate=0.03, warmup_steps=10, final_rate=0.2),
        loop=replace(config.loop, epochs=8, batch_frames=90, average=0.0),
    )
    torch.manual_seed(0)
    recognizer = Recognizer(train(settings, train=items, dev=items[::6], out=tmp_path))
    from gestures.joining import join_clips

    labels = ["wave", "raise", "circle", "wave"]
    clips = [clip(label, seed=800 + k) for k, label in enumerate(labels)]
    stream, places = join_clips(clips, [0.6] * 5, np.random.default_rng(0))
    found = recognizer.recognize(stream).gestures
    assert [one.label for one in found] == labels
    for one, (start, end) in zip(found, places, strict=True):
        assert start - 0.3 < one.start < end + 0.3


def test_a_gesture_within_a_longer_stream_keeps_its_place(items, config, clip: Callable, tmp_path: Path) -> None:
    """One segment does not make a clip, and a file that does not begin at 0 does not move it."""
    from features import landmark_files
    from gestures.joining import join_clips

    stream, [(start, end)] = join_clips([clip("wave", seed=1)], [2.0, 2.0], np.random.default_rng(0))
    landmark_files.write(tmp_path / "stream.npz", stream.moved(0.4))
    segments = (Segment(start + 0.4, end + 0.4, "wave"),)
    item = Item("one", str(tmp_path / "stream.npz"), 0.0, stream.duration + 0.4, "wave", "", segments)
    assert not item.whole
    load = loader(items, replace(config, join=JoinConfig()))
    example = load(item, None)
    fps = config.features.fps
    wave = [span for span, label in zip(example.spans_L2, example.targets_L, strict=True) if label == 3]
    assert wave
    for first, last in wave:
        shared = min(last, end * fps) - max(first, start * fps)
        assert shared >= 0.7 * min(last - first, (end - start) * fps)
    assert (example.targets_L == 0).sum() > len(wave)
