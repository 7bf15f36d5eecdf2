"""Recordings become examples: what is varied, what is kept in memory, and what the statistics are taken of."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import asr.train
from asr.tokens import Tokens
from asr.train import LoadSpeech, make_extractor
from asr.train_targets import Words
from features import audio
from features.augment import AugmentConfig
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.model import BLANK
from training.manifests import Item


@pytest.fixture
def extractor(tone_model: Path) -> FeatureExtractor:
    return models.load(tone_model).extractor


TOKENS = Tokens([BLANK, "la", "mi", "so"], "word")


def test_an_example_is_what_the_extractor_makes_of_the_recording(augment, extractor, items) -> None:
    item = items["train"][0]
    example = LoadSpeech(extractor, Words(TOKENS), augment)(item, None)
    np.testing.assert_array_equal(example.frames_TF, extractor(audio.read(item.path)[0]))
    assert [TOKENS.labels[label] for label in example.targets_L] == item.text.split()
    part = replace(item, start=0.2, duration=0.3)
    expected = extractor(audio.read(item.path, start=0.2, duration=0.3)[0])
    np.testing.assert_array_equal(LoadSpeech(extractor, Words(TOKENS), augment)(part, None).frames_TF, expected)


def test_training_varies_it_as_the_generator_draws(augment, extractor, items) -> None:
    load, item = LoadSpeech(extractor, Words(TOKENS), augment), items["train"][0]
    first, again, other = (load(item, np.random.default_rng(seed)).frames_TF for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    plain = LoadSpeech(extractor, Words(TOKENS), AugmentConfig())
    np.testing.assert_array_equal(plain(item, np.random.default_rng(1)).frames_TF, plain(item, None).frames_TF)


def test_two_views_are_one_recording_under_two_draws_of_masks(augment, extractor, items) -> None:
    masked, item = replace(augment, time_masks=2, time_mask_frames=6), items["train"][0]
    one = LoadSpeech(extractor, Words(TOKENS), masked)(item, np.random.default_rng(1))
    two = LoadSpeech(extractor, Words(TOKENS), masked, two_views=True)(item, np.random.default_rng(1))
    assert one.second_TF is None
    np.testing.assert_array_equal(one.frames_TF, two.frames_TF)
    seen_TF = (two.frames_TF != 0) & (two.second_TF != 0)
    np.testing.assert_array_equal(two.frames_TF[seen_TF], two.second_TF[seen_TF])
    assert not np.array_equal(two.frames_TF, two.second_TF)
    assert LoadSpeech(extractor, Words(TOKENS), masked, two_views=True)(item, None).second_TF is None


def test_what_is_kept_in_memory_changes_nothing(augment, extractor, items, monkeypatch) -> None:
    reads: list[str] = []
    decode = audio.read
    monkeypatch.setattr(audio, "read", lambda path, **settings: (reads.append(str(path)), decode(path, **settings))[1])
    some = items["train"][:6]
    frames = {}
    # A megabyte holds a few of these; all of them are 0.3 MB.
    for megabytes in (0, 1):
        reads.clear()
        load = LoadSpeech(extractor, Words(TOKENS), augment, cache_mb=megabytes)
        frames[megabytes] = [
            load(item, rng).frames_TF
            for number in range(2)
            for k, item in enumerate(some)
            for rng in (np.random.default_rng([number, k]),)
        ]
        assert len(reads) == (6 if megabytes else 12)
    for kept, fresh in zip(frames[1], frames[0], strict=True):
        np.testing.assert_array_equal(kept, fresh)


def test_what_is_kept_in_memory_is_bounded_and_belongs_to_the_item(
    extractor, items, tmp_path: Path, monkeypatch
) -> None:
    load = LoadSpeech(extractor, Words(TOKENS), AugmentConfig(), cache_mb=1)
    for k in range(6):
        audio.write(tmp_path / f"{k}.wav", np.full(80_000, k / 10, np.float32), 8000)
        load(Item(str(k), str(tmp_path / f"{k}.wav"), 0.0, 10.0, "la"), None)
    assert sum(samples.nbytes for samples in load._cache.values()) <= 1_000_000
    # The same id in training and development data, and two parts of one file.
    same = [replace(item, id="u") for item in items["train"][:2]]
    parts = [replace(items["train"][2], id="u", start=start, duration=0.1) for start in (0.0, 0.1)]
    load = LoadSpeech(extractor, Words(TOKENS), AugmentConfig(), cache_mb=1)
    for item in [*same, *parts] * 2:
        expected = extractor(audio.read(item.path, start=item.start, duration=item.duration)[0])
        np.testing.assert_array_equal(load(item, None).frames_TF, expected)


def test_too_short_for_one_frame_is_one_frame_of_silence(augment, extractor, tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.zeros(20, np.float32), 8000)
    for rng in (None, np.random.default_rng(0)):
        example = LoadSpeech(extractor, Words(TOKENS), augment)(
            Item("a", str(tmp_path / "a.wav"), 0.0, 0.0025, "la"), rng
        )
        assert example.frames_TF.shape == (1, 20)
        assert not example.frames_TF.any()


def test_it_travels_to_workers(augment, extractor, items) -> None:
    load, item = LoadSpeech(extractor, Words(TOKENS), augment, cache_mb=1), items["train"][0]
    expected = load(item, np.random.default_rng(0)).frames_TF
    there = pickle.loads(pickle.dumps(load))
    np.testing.assert_array_equal(there(item, np.random.default_rng(0)).frames_TF, expected)


def test_statistics_are_those_of_all_frames(items) -> None:
    config = FeatureConfig(fbank=FbankConfig(rate=8000, bins=10))
    made = make_extractor(config, items["train"], seed=0)
    raw = np.concatenate([FeatureExtractor(config).raw(audio.read(item.path)[0]) for item in items["train"]])
    np.testing.assert_allclose(made.mean, raw.astype(np.float64).mean(0), rtol=1e-5)
    np.testing.assert_allclose(made.std, raw.astype(np.float64).std(0), rtol=1e-5)
    running = make_extractor(replace(config, normalization="running"), [], seed=0)
    assert running.mean is None


def test_statistics_of_many_are_those_of_a_drawn_part(items, monkeypatch) -> None:
    monkeypatch.setattr(asr.train, "STATISTICS_ITEMS", 5)
    config = FeatureConfig(fbank=FbankConfig(rate=8000, bins=10))
    means = [make_extractor(config, items["train"], seed=seed).mean for seed in (0, 0, 1)]
    np.testing.assert_array_equal(means[0], means[1])
    assert not np.array_equal(means[0], means[2])
