"""The chain of features, differences and normalisation, its stored form, and a stream beside the whole."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cmvn import CmvnAccumulator, GlobalCmvn, RunningCmvn, UtteranceCmvn
from features.deltas import Deltas
from features.extractor import FeatureConfig, FeatureExtractor, from_dict, to_dict
from features.filterbank import Fbank, FbankConfig, Mfcc, MfccConfig

FBANK = FbankConfig(rate=8000, bins=23)


def signal(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def with_statistics(config: FeatureConfig) -> FeatureExtractor:
    """An extractor with the statistics of some noise where its normalisation needs them."""
    extractor = FeatureExtractor(config)
    if config.normalization != "global":
        return extractor
    accumulator = CmvnAccumulator()
    for seed in range(3):
        accumulator.add(extractor.raw(signal(8000, seed)))
    return FeatureExtractor(config, mean=accumulator.mean, std=accumulator.std)


CONFIGS = [
    FeatureConfig(fbank=FBANK),
    FeatureConfig(fbank=FBANK, normalization="none"),
    FeatureConfig(fbank=FBANK, deltas=2, normalization="running", running_window_seconds=0.2),
    FeatureConfig(fbank=FbankConfig(rate=8000, bins=23, dither=1.0, snip_edges=False), deltas=1),
    FeatureConfig(mfcc=MfccConfig(rate=8000), deltas=2, normalization="none"),
    FeatureConfig(mfcc=MfccConfig(rate=8000, snip_edges=False, dither=0.5), normalization="running"),
]
OFFLINE = FeatureConfig(fbank=FBANK, deltas=1, normalization="utterance")


def describe(config: FeatureConfig) -> str:
    name = "fbank" if config.fbank else "mfcc"
    return f"{name}-deltas{config.deltas}-{config.normalization}"


@pytest.mark.parametrize("config", [*CONFIGS, OFFLINE], ids=describe)
def test_chain_equals_its_steps_by_hand(config: FeatureConfig) -> None:
    extractor = with_statistics(config)
    samples_S = signal(6000, seed=9)
    expected = Fbank(config.fbank)(samples_S) if config.fbank else Mfcc(config.mfcc or MfccConfig())(samples_S)
    if config.deltas:
        expected = Deltas(config.deltas)(expected)
    np.testing.assert_array_equal(extractor.raw(samples_S), expected)
    if config.normalization == "global":
        expected = GlobalCmvn(extractor.mean, extractor.std)(expected)
    elif config.normalization == "running":
        expected = RunningCmvn(round(config.running_window_seconds * 100))(expected)
    elif config.normalization == "utterance":
        expected = UtteranceCmvn()(expected)
    frames_TF = extractor(samples_S)
    np.testing.assert_array_equal(frames_TF, expected, strict=True)
    assert frames_TF.shape == (extractor.num_frames(6000), extractor.num_features)
    assert extractor.rate == 8000
    assert extractor.shift_seconds == 0.01


@pytest.mark.parametrize("config", CONFIGS, ids=describe)
@settings(max_examples=25, deadline=None)
@given(samples=st.integers(0, 9000), sizes=st.lists(st.integers(1, 3000) | st.integers(1, 100), min_size=1, max_size=8))
def test_stream_equals_the_whole_bit_for_bit(config: FeatureConfig, samples: int, sizes: list[int]) -> None:
    extractor = with_statistics(config)
    samples_S = signal(samples, seed=samples)
    np.testing.assert_array_equal(streamed(extractor, samples_S, sizes), extractor(samples_S), strict=True)


@pytest.mark.parametrize("config", CONFIGS, ids=describe)
def test_stream_sample_by_sample(config: FeatureConfig) -> None:
    extractor = with_statistics(config)
    samples_S = signal(1000)
    np.testing.assert_array_equal(streamed(extractor, samples_S, [1]), extractor(samples_S), strict=True)


def streamed(extractor: FeatureExtractor, samples_S: np.ndarray, sizes: list[int]) -> np.ndarray:
    stream = extractor.stream()
    stream.push(samples_S[:500])
    stream.flush()  # what follows must not know of it
    pieces = []
    position = block = 0
    while position < len(samples_S):
        size = sizes[block % len(sizes)]
        pieces.append(stream.push(samples_S[position : position + size]))
        position += size
        block += 1
    return np.concatenate([*pieces, stream.flush()])


@pytest.mark.parametrize("normalization", ["none", "global", "running"])
@pytest.mark.parametrize("snip_edges", [True, False])
def test_stream_of_real_speech(shared_data: Path, snip_edges: bool, normalization: Any) -> None:
    for file in sorted((shared_data / "fsdd" / "recordings").glob("*_7.wav"))[:3]:
        samples_S, rate = soundfile.read(file, dtype="float32")
        assert rate == 8000
        fbank = FbankConfig(rate=8000, bins=40, snip_edges=snip_edges)
        extractor = with_statistics(FeatureConfig(fbank=fbank, deltas=2, normalization=normalization))
        whole = extractor(samples_S)
        for sizes in ([1], [80], [777, 3], [4000]):
            np.testing.assert_array_equal(streamed(extractor, samples_S, sizes), whole, strict=True)


def test_whole_utterance_statistics_cannot_stream_and_say_so() -> None:
    extractor = FeatureExtractor(OFFLINE)
    assert not extractor.streams
    assert all(with_statistics(config).streams for config in CONFIGS)
    with pytest.raises(ValueError, match="cannot stream"):
        extractor.stream()


@pytest.mark.parametrize("config", [*CONFIGS, OFFLINE], ids=describe)
@pytest.mark.parametrize("samples", [0, 1, 199])
def test_too_short_for_a_frame(config: FeatureConfig, samples: int) -> None:
    extractor = with_statistics(config)
    frames_TF = extractor(signal(samples))
    assert frames_TF.shape == (extractor.num_frames(samples), extractor.num_features)
    if samples == 0:
        assert len(frames_TF) == 0


def test_global_without_statistics_gives_raw_features_only() -> None:
    extractor = FeatureExtractor(FeatureConfig(fbank=FBANK))
    assert extractor.raw(signal(8000)).shape == (98, 23)
    assert extractor.mean is None
    for call in (lambda: extractor(signal(8000)), extractor.stream):
        with pytest.raises(ValueError, match="no statistics yet"):
            call()


def test_what_is_normalised_has_mean_zero_and_deviation_one() -> None:
    extractor = with_statistics(FeatureConfig(fbank=FBANK, deltas=2))
    frames_TF = np.concatenate([extractor(signal(8000, seed)) for seed in range(3)])
    np.testing.assert_allclose(frames_TF.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(frames_TF.std(axis=0), 1.0, atol=1e-3)


# What a model directory stores.


@pytest.mark.parametrize("config", [*CONFIGS, OFFLINE], ids=describe)
def test_stored_as_yaml_and_read_back_is_the_same(config: FeatureConfig) -> None:
    extractor = with_statistics(config)
    text = yaml.safe_dump(to_dict(extractor), sort_keys=False)
    again = from_dict(yaml.safe_load(text))
    assert again.config == config
    samples_S = signal(5000)
    np.testing.assert_array_equal(again(samples_S), extractor(samples_S), strict=True)
    if config.normalization == "global":
        np.testing.assert_array_equal(again.mean, extractor.mean, strict=True)
        np.testing.assert_array_equal(again.std, extractor.std, strict=True)


@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=23, max_size=23))
def test_every_float32_survives_being_stored(bits: list[int]) -> None:
    values = np.array(bits, dtype=np.uint32).view(np.float32)
    values[~np.isfinite(values)] = 1.0
    std = np.maximum(np.abs(values), np.finfo(np.float32).smallest_subnormal)
    extractor = FeatureExtractor(FeatureConfig(fbank=FBANK), mean=values, std=std)
    again = from_dict(yaml.safe_load(yaml.safe_dump(to_dict(extractor))))
    np.testing.assert_array_equal(again.mean, values)
    np.testing.assert_array_equal(again.std, std)


def test_stored_form_is_plain_and_readable() -> None:
    mean, std = np.full(13, 0.1, dtype=np.float32), np.full(13, 2.5, dtype=np.float32)
    stored = to_dict(FeatureExtractor(FeatureConfig(mfcc=MfccConfig(rate=8000)), mean=mean, std=std))
    assert stored["mfcc"]["rate"] == 8000
    assert stored["mfcc"]["window"] == "povey"
    assert "fbank" not in stored
    assert stored["normalization"] == "global"
    assert stored["mean"] == [0.1] * 13
    assert stored["std"] == [2.5] * 13


def changed(**changes: Any) -> dict[str, Any]:
    return {"fbank": {"rate": 8000, "bins": 23}, "normalization": "none", **changes}


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (changed(delta=2), "features: unknown key 'delta'"),
        (changed(fbank={"bands": 3}), "features.fbank: unknown key 'bands'"),
        (changed(fbank={"rate": "8000"}), "features.fbank.rate: expected int, found '8000'"),
        (changed(fbank={"rate": 8000.5}), "features.fbank.rate: expected int"),
        (changed(fbank={"snip_edges": 1}), "features.fbank.snip_edges: expected bool"),
        (changed(fbank=[8000]), r"features.fbank: expected keys with values, found \[8000\]"),
        (changed(fbank={"rate": 8000, "bins": 500}), "bins=500"),
        (changed(deltas=None), "features.deltas: expected int, found None"),
        (changed(deltas=-1), "deltas=-1"),
        (changed(normalization="mean"), "normalization='mean' is unknown"),
        (changed(running_window_seconds=0), "running_window_seconds=0"),
        (changed(mfcc={}), "exactly one of fbank, mfcc and given"),
        (changed(fbank=None), "exactly one of fbank, mfcc and given"),
        (changed(mean=[0.0] * 23), "mean and std belong together"),
        (changed(mean=[0.0] * 23, std=[1.0] * 23), "takes no mean and std"),
        (changed(normalization="global", mean=[0.0] * 7, std=[1.0] * 7), "7 values; the features have 23"),
        (changed(normalization="global", mean="0", std="1"), "features.mean: expected a list of numbers"),
        (changed(normalization="global", mean=[0.0] * 23, std=[0.0] * 23), "std above 0"),
        ([], "expected keys with values"),
    ],
)
def test_bad_stored_forms_are_refused_by_name(stored: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(stored)


def test_an_extractor_travels_to_worker_processes() -> None:
    extractor = with_statistics(CONFIGS[0])
    again = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(again(signal(4000)), extractor(signal(4000)))
