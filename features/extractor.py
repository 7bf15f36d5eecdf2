"""From samples to what a model reads: spectral features, differences, normalisation, as one step that travels with it.

The spectral features may also be given, made by somebody else: then what goes in is frames instead of samples.

A model directory stores :func:`to_dict` of the extractor that it was trained with, and :func:`from_dict` brings the
same extractor back, so training and use cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from features import audio, given
from features.cmvn import GlobalCmvn, Normalization, RunningCmvn, UtteranceCmvn
from features.deltas import Deltas
from features.filterbank import Fbank, FbankConfig, Mfcc, MfccConfig
from features.framing import Array, FrameStream
from features.given import Given, GivenConfig

NormalizationName = Literal["none", "global", "running", "utterance"]


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What a model reads; exactly one of ``fbank``, ``mfcc`` and ``given`` is set.

    Args:
        fbank: log mel filterbank energies.
        mfcc: mel cepstra.
        given: frames that come without their sound.
        deltas: order of the differences appended to each frame; 0 is none, 2 is deltas and double deltas.
        normalization: none; global (mean and standard deviation of the training data); running (mean of the last
            frames); utterance (mean and standard deviation of the whole utterance, which makes a model offline-only).
        running_window_seconds: length of the running mean in seconds.
    """

    fbank: FbankConfig | None = None
    mfcc: MfccConfig | None = None
    given: GivenConfig | None = None
    deltas: int = 0
    normalization: NormalizationName = "global"
    running_window_seconds: float = 3.0

    def __post_init__(self) -> None:
        if sum(kind is not None for kind in (self.fbank, self.mfcc, self.given)) != 1:
            raise ValueError("features: give exactly one of fbank, mfcc and given; null takes one back")
        if self.deltas < 0:
            raise ValueError(f"deltas={self.deltas}: the order must not be negative")
        if self.normalization not in get_args(NormalizationName):
            choices = ", ".join(get_args(NormalizationName))
            raise ValueError(f"normalization={self.normalization!r} is unknown; choose one of {choices}")
        if self.running_window_seconds <= 0.0:
            raise ValueError(f"running_window_seconds={self.running_window_seconds}: must be above 0")


class FeatureExtractor:
    """Samples in [-1, 1] to the frames that a model reads; given frames (T, F) take the samples' place if so set.

    Args:
        config: what to compute.
        mean: mean of each feature over the training data, shape (F,); for normalization=global.
        std: standard deviation of each feature, shape (F,); for normalization=global. Without the two, :meth:`raw`
            works (it is what they are computed from) and normalised features do not.

    Raises:
        ValueError: statistics of another shape, or given where the configuration has no use for them.
    """

    def __init__(
        self, config: FeatureConfig, *, mean: npt.ArrayLike | None = None, std: npt.ArrayLike | None = None
    ) -> None:
        self.config = config
        self._spectral = _spectral(config)
        self._deltas = Deltas(config.deltas) if config.deltas else None
        self.rate = self._spectral.rate
        self.shift_seconds = self._spectral.shift_seconds
        width = self._spectral.num_features
        self.num_features = width if self._deltas is None else self._deltas.num_features(width)
        self.streams = config.normalization != "utterance"
        self._normalization = self._make_normalization(mean, std)

    @property
    def mean(self) -> Array | None:
        """Mean of each feature, (F,), where the normalisation is global and has its statistics."""
        return self._normalization.mean if isinstance(self._normalization, GlobalCmvn) else None

    @property
    def std(self) -> Array | None:
        """Standard deviation of each feature, (F,), where the normalisation is global and has its statistics."""
        return self._normalization.std if isinstance(self._normalization, GlobalCmvn) else None

    @property
    def hears(self) -> bool:
        """Whether it makes frames of sound; else they are given."""
        return self.config.given is None

    def blocks(self, source: audio.Source, *, start: float = 0.0, duration: float | None = None) -> Iterator[Array]:
        """What it takes, in blocks of bounded length: samples of a sound file, or frames of a file that has them.

        Args:
            source: A sound file, `-`, an open file or (samples, rate); where frames are given, a file of them.
            start: Where to begin, in seconds.
            duration: How much to read, in seconds; none reads to the end.

        Raises:
            features.audio.AudioError: the sound cannot be read.
            features.given.FramesError: the frames cannot.
        """
        if self.config.given is None:
            return audio.blocks(source, rate=self.rate, start=start, duration=duration)
        return given.blocks(_file(source), self.config.given, start=start, duration=duration)

    def read(self, source: audio.Source, *, start: float = 0.0, duration: float | None = None) -> Array:
        """The same in one piece, (S,) or (T, F)."""
        if self.config.given is None:
            return audio.read(source, rate=self.rate, start=start, duration=duration)[0]
        return given.read(_file(source), self.config.given, start=start, duration=duration)

    def num_frames(self, samples: int) -> int:
        """Exact number of frames for a signal of this many samples."""
        return self._spectral.num_frames(samples)

    def raw(self, samples_S: npt.ArrayLike) -> Array:
        """Frames (T, F) before normalisation: what statistics are computed from."""
        frames_TF = self._spectral(samples_S)
        return frames_TF if self._deltas is None else self._deltas(frames_TF)

    def __call__(self, samples_S: npt.ArrayLike) -> Array:
        """Frames (T, F) of a whole signal (S,); (0, F) for one too short for a frame."""
        self._require_statistics()
        frames_TF = self.raw(samples_S)
        return frames_TF if self._normalization is None else self._normalization(frames_TF)

    def stream(self) -> FrameStream:
        """A fresh stream; what it gives, put together, equals calling on the whole, bit for bit.

        Raises:
            ValueError: the normalisation needs the whole utterance.
        """
        self._require_statistics()
        steps: list[FrameStream] = [self._spectral.stream()]
        if self._deltas is not None:
            steps.append(self._deltas.stream())
        if self._normalization is not None:
            steps.append(self._normalization.stream())
        return _Chain(steps)

    def _make_normalization(self, mean: npt.ArrayLike | None, std: npt.ArrayLike | None) -> Normalization | None:
        name = self.config.normalization
        if (mean is None) != (std is None):
            raise ValueError("mean and std belong together: give both or neither")
        if mean is not None and name != "global":
            raise ValueError(f"normalization={name} takes no mean and std; they belong to normalization=global")
        if name == "global" and mean is not None and std is not None:
            cmvn = GlobalCmvn(mean, std)
            if cmvn.mean.shape != (self.num_features,):
                raise ValueError(f"mean and std have {cmvn.mean.size} values; the features have {self.num_features}")
            return cmvn
        if name == "running":
            return RunningCmvn(max(1, round(self.config.running_window_seconds / self.shift_seconds)))
        if name == "utterance":
            return UtteranceCmvn()
        return None

    def _require_statistics(self) -> None:
        if self.config.normalization == "global" and self._normalization is None:
            raise ValueError(
                "normalization=global has no statistics yet: add raw() of the training data to a CmvnAccumulator "
                "and pass its mean and std"
            )


def _file(source: audio.Source) -> str | PathLike:
    """The file of frames that are given, which come in no other way."""
    if not isinstance(source, str | PathLike):
        raise given.FramesError("the model reads frames that are given, not sound; give a file of them")
    return source


def _spectral(config: FeatureConfig) -> Fbank | Mfcc | Given:
    if config.given is not None:
        return Given(config.given)
    if config.mfcc is not None:
        return Mfcc(config.mfcc)
    assert config.fbank is not None
    return Fbank(config.fbank)


class _Chain:
    """Streams one after the other; flushing the first runs through all the rest."""

    def __init__(self, steps: Sequence[FrameStream]) -> None:
        self._steps = steps

    def push(self, block: npt.ArrayLike, /) -> Array:
        for step in self._steps:
            block = step.push(block)
        return np.asarray(block)

    def flush(self) -> Array:
        frames_TF = self._steps[0].flush()
        for step in self._steps[1:]:
            frames_TF = np.concatenate((step.push(frames_TF), step.flush()))
        return frames_TF


def to_dict(extractor: FeatureExtractor) -> dict[str, Any]:
    """The extractor as plain YAML types: what a model directory stores.

    Keys are the fields of :class:`FeatureConfig` (of the three kinds the one in use), and ``mean`` and ``std`` as lists
    where the normalisation is global. Numbers are the shortest that give the same float32 back.
    """
    stored = {key: value for key, value in asdict(extractor.config).items() if value is not None}
    if extractor.mean is not None and extractor.std is not None:
        stored["mean"] = [_shortest(value) for value in extractor.mean]
        stored["std"] = [_shortest(value) for value in extractor.std]
    return stored


def from_dict(stored: Mapping[str, Any]) -> FeatureExtractor:
    """The extractor that :func:`to_dict` stored.

    Raises:
        ValueError: an unknown key or a value of the wrong kind, by its name, or a configuration that cannot be.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"features: expected keys with values, found {stored!r}")
    values = dict(stored)
    statistics = {name: _number_list(values.pop(name), name) for name in ("mean", "std") if name in values}
    for name, kind in (("fbank", FbankConfig), ("mfcc", MfccConfig), ("given", GivenConfig)):
        if values.get(name) is not None:
            values[name] = _build(kind, values[name], f"features.{name}")
    return FeatureExtractor(_build(FeatureConfig, values, "features"), **statistics)


def _build(kind: type, values: Any, where: str) -> Any:
    """A configuration dataclass of plain values; every value is of the kind of the field's default."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: expected keys with values, found {values!r}")
    defaults = {field.name: field.default for field in fields(kind)}
    for key, value in values.items():
        if key not in defaults:
            raise ValueError(f"{where}: unknown key {key!r}; the keys are {', '.join(defaults)}")
        default = defaults[key]
        if default is None or type(value) is type(default) or (type(default) is float and type(value) is int):
            continue
        raise ValueError(f"{where}.{key}: expected {type(default).__name__}, found {value!r}")
    return kind(**values)


def _number_list(values: Any, name: str) -> list[float]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"features.{name}: expected a list of numbers")
    return values


def _shortest(value: np.float32) -> float:
    """The number with the fewest digits that is this float32 again."""
    return float(str(value))
