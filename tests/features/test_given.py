"""Frames that come without their sound: both byte orders, the part that is asked for, errors that name the file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from features.augment import AugmentConfig, AugmentError, FrameAugmenter
from features.deltas import Deltas
from features.extractor import FeatureConfig, FeatureExtractor, from_dict, to_dict
from features.given import FramesError, GivenConfig, blocks, read, write_sphinx

THREE = GivenConfig(num_features=3)


def frames(count: int, width: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


@pytest.mark.parametrize("order", "><")
def test_sphinx_files_of_either_byte_order(tmp_path: Path, order: str) -> None:
    frames_TF = frames(7)
    path = tmp_path / "a.mfc"
    path.write_bytes(struct.pack(f"{order}i21f", 21, *map(float, frames_TF.ravel())))
    np.testing.assert_array_equal(read(path, THREE), frames_TF)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    for count in (0, 1, 2500):
        frames_TF = frames(count)
        write_sphinx(tmp_path / "a.mfc", frames_TF)
        np.save(tmp_path / "a.npy", frames_TF)
        for name in ("a.mfc", "a.npy"):
            np.testing.assert_array_equal(read(tmp_path / name, THREE), frames_TF)
            pieces = list(blocks(tmp_path / name, THREE))
            assert all(0 < len(piece) <= 1000 for piece in pieces)
            np.testing.assert_array_equal(np.concatenate([frames_TF[:0], *pieces]), frames_TF)


def test_a_file_of_the_census_corpus(shared_data: Path) -> None:
    path = shared_data / "an4" / "feat" / "an4_clstk" / "fash" / "an251-fash-b.mfc"
    frames_TF = read(path, GivenConfig())
    assert frames_TF.shape == ((path.stat().st_size - 4) // 52, 13)
    assert np.ptp(frames_TF[:, 0]) > 2 * np.ptp(frames_TF[:, 12]), "the first cepstrum is the energy"


def test_a_part_by_its_seconds(tmp_path: Path) -> None:
    frames_TF = frames(50)
    write_sphinx(tmp_path / "a.mfc", frames_TF)
    np.testing.assert_array_equal(read(tmp_path / "a.mfc", THREE, start=0.1, duration=0.2), frames_TF[10:30])
    np.testing.assert_array_equal(read(tmp_path / "a.mfc", THREE, start=0.4), frames_TF[40:])
    assert read(tmp_path / "a.mfc", THREE, start=2.0).shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.wav", b"RIFF", r"a\.wav: the model reads frames that are given \(cepstra\), not sound"),
        ("a.mfc", b"", r"a\.mfc: not a Sphinx feature file, or cut short"),
        ("a.mfc", struct.pack(">i6f", 9, *range(6)), r"a\.mfc: not a Sphinx feature file, or cut short"),
        ("a.mfc", struct.pack(">i6f", 6, *range(6))[:-2], r"a\.mfc: not a Sphinx feature file, or cut short"),
        ("a.mfc", struct.pack(">i4f", 4, *range(4)), r"a\.mfc: 4 values are no frames of 3"),
        ("a.mfc", struct.pack(">i3f", 3, 0, float("nan"), 1), r"a\.mfc: holds NaN or infinite values"),
        ("a.npy", b"not numpy's", r"a\.npy: no frames can be read"),
        ("b.npy", np.zeros((4, 2)), r"b\.npy: holds an array \(4, 2\), and the model reads \(T, 3\)"),
        ("b.npy", np.zeros(6), r"b\.npy: holds an array \(6,\)"),
        ("b.npy", np.array([["a", "b", "c"]]), r"b\.npy: holds <U1, not numbers"),
        ("b.npy", np.array([[None, 1, 2]]), r"b\.npy: no frames can be read"),
    ],
)
def test_what_holds_no_such_frames(tmp_path: Path, name: str, content, message: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        np.save(tmp_path / name, content)
    with pytest.raises(FramesError, match=message) as caught:
        read(tmp_path / name, GivenConfig(num_features=3, kind="cepstra"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match=r"a\.mfc: no such file"):
        read(tmp_path / "a.mfc", THREE)


# --- in the place of spectral features --------------------------------------------------------------------------------


def test_an_extractor_of_given_frames_adds_what_it_adds_to_spectral_ones() -> None:
    frames_TF = frames(40)
    extractor = FeatureExtractor(FeatureConfig(given=THREE, deltas=2, normalization="none"))
    assert (extractor.num_features, extractor.shift_seconds, extractor.hears) == (9, 0.01, False)
    np.testing.assert_array_equal(extractor(frames_TF), Deltas(2)(frames_TF))
    for size in (1, 7, 40):
        stream = extractor.stream()
        pieces = [stream.push(frames_TF[k : k + size]) for k in range(0, 40, size)]
        np.testing.assert_array_equal(np.concatenate([*pieces, stream.flush()]), extractor(frames_TF))


def test_its_stored_form_brings_it_back() -> None:
    config = FeatureConfig(given=GivenConfig(num_features=5, shift_ms=8, kind="PLP"), normalization="utterance")
    stored = to_dict(FeatureExtractor(config))
    assert stored["given"] == {"num_features": 5, "shift_ms": 8, "kind": "PLP"}
    assert not {"fbank", "mfcc"} & set(stored)
    assert from_dict(stored).config == config


def test_frames_of_another_width_and_sound_are_refused() -> None:
    extractor = FeatureExtractor(FeatureConfig(given=THREE, normalization="none"))
    with pytest.raises(FramesError, match=r"frames of shape \(4, 2\); the model reads \(T, 3\)"):
        extractor(np.zeros((4, 2)))
    with pytest.raises(FramesError, match="give a file of them"):
        extractor.read((np.zeros(800, np.float32), 8000))


# --- variants in training ---------------------------------------------------------------------------------------------


def test_speed_changes_durations_alone() -> None:
    ramp_TF = np.linspace(0, 1, 101, dtype=np.float32)[:, None] * np.array([1, -2, 3], np.float32)
    for factor in (0.8, 1.25):
        played_TF = FrameAugmenter(AugmentConfig(speed=(factor, factor)))(ramp_TF, np.random.default_rng(0))
        assert len(played_TF) == round(101 / factor)
        np.testing.assert_allclose(played_TF[:, 0], np.linspace(0, 1, len(played_TF)), atol=1e-6)
        np.testing.assert_allclose(played_TF[:, 2], 3 * played_TF[:, 0], atol=1e-6)
    for count in (0, 1):
        assert (
            len(FrameAugmenter(AugmentConfig(speed=(0.5, 2.0)))(frames(count), np.random.default_rng(0))) <= 2 * count
        )


def test_what_needs_the_sound_is_refused() -> None:
    FrameAugmenter(AugmentConfig(speed=(0.9, 1.1), time_masks=2, frequency_masks=2, time_mask_frames=3))
    for setting in ({"noise_probability": 0.5}, {"gain_db": (-6, 6)}, {"voice": (0.9, 1.1)}, {"trim_ms": 10.0}):
        with pytest.raises(AugmentError, match=f"augment.{next(iter(setting))} needs the sound"):
            FrameAugmenter(AugmentConfig(**setting))
