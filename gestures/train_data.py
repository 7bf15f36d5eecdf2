"""Clips of gestures to examples that a network trains on: read, augment, join, extract, label."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np

from features.landmark_augment import LandmarkAugmentConfig, augment
from features.landmarks import LandmarkError, Landmarks
from features.normalize import LandmarkExtractor
from gestures.joining import JoinConfig, join_clips
from gestures.reading import ReadClips
from gestures.spotting import NONE, SpotRules
from gestures.windows import draw, windows
from inference.model import CLASS, CTC
from inference.pooling import in_steps
from training.data import Example
from training.manifests import Item, Segment


@dataclass
class HeadConfig:
    """What the scores of a model are, and how it is judged on a stream.

    Args:
        kind: `class` has one label for a clip or for the last moments of a stream; `ctc` has a sequence of labels.
        none: Whether `class` has a label for what is no gesture: idle stretches and clips labelled `none`.
        smoothing: Share of the target of `class` that is spread over all labels.
        window_ms: How much of a stream is judged together, by `class`.
        hop_ms: Time from one judgement to the next.
        windows: Windows of a joined example that are trained on, at most.
        threshold: Least probability with which a clip has a label; below it the answer is `none`.
        rules: When a gesture counts as made on a stream, unless whoever watches says otherwise.
    """

    kind: Literal["class", "ctc"] = "class"
    none: bool = False
    smoothing: float = 0.0
    window_ms: float = 1500.0
    hop_ms: float = 80.0
    windows: int = 8
    threshold: float = 0.0
    rules: SpotRules = field(default_factory=SpotRules)

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1 or not 0 <= self.threshold <= 1:
            raise ValueError("head.smoothing and head.threshold lie between 0 and 1")
        if not 0 < self.hop_ms <= self.window_ms:
            raise ValueError(f"head.hop_ms is {self.hop_ms}; it is above 0 and at most head.window_ms")
        if self.hop_ms >= self.rules.gap_ms:
            raise ValueError(f"head.hop_ms is {self.hop_ms}, no less than head.rules.gap_ms: no gesture could be held")
        if self.windows < 1:
            raise ValueError(f"head.windows is {self.windows}; it must be at least 1")
        if self.kind == CTC and self.none:
            raise ValueError("head.none belongs to head.kind class; CTC has its blank for what is no gesture")


class LoadGestures:
    """Makes an example of an item. It travels to the workers.

    An example is the item as it is or, for the share that `join` says, a stream that holds it and others of its part,
    drawn. With CTC its labels are a sequence. With `class` a clip has its label, and a stream those of windows, as
    `gestures.windows` says. Development clips are joined alike, drawn from the item's name; streams stay as they are.

    Args:
        extractor: Landmarks to normalised frames.
        labels: All labels; the place of a label is its number.
        head: What the scores are.
        augment: What training does to a clip.
        join: How clips are joined.
        parts: The items of training and of development.
        subsampling: Frames for each step of scores, in which windows are counted.
        cache_mb: Megabytes of landmarks to keep from pass to pass.
    """

    def __init__(
        self,
        extractor: LandmarkExtractor,
        labels: Sequence[str],
        head: HeadConfig,
        augment: LandmarkAugmentConfig,
        join: JoinConfig,
        parts: tuple[Sequence[Item], Sequence[Item]],
        *,
        subsampling: int = 1,
        cache_mb: int = 500,
    ):
        self._extractor = extractor
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._head = head
        self._step = subsampling * extractor.shift_seconds
        self._augment = augment
        # Where gestures have places in time, time stays as it is.
        self._still = replace(augment, trim_ms=0.0, speed=(1.0, 1.0), time_warp=0.0)
        self._join = join
        self._parts = parts
        self._read = ReadClips(cache_mb)

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Example:
        draws = rng or np.random.default_rng(zlib.crc32(item.id.encode()))
        training = rng is not None
        if draws.random() < self._join.share and (training or item.whole):
            landmarks, segments = self._stream(item, draws, training=training)
        else:
            landmarks, segments = self._clip(item, draws, training=training)
        frames_TF = self._extractor(landmarks)
        if self._head.kind == CTC:
            numbers = [self._numbers[one.label] for one in segments if one.label != NONE]
            return Example(frames_TF, np.array(numbers, dtype=np.int64))
        if len(segments) == 1 and segments[0].end - segments[0].start >= landmarks.duration - 1e-6:
            spans = [(0, len(frames_TF), self._numbers[segments[0].label])]
        else:
            spans = self._windows(landmarks.duration, segments, len(frames_TF), draws if rng is not None else None)
        if not spans:
            raise LandmarkError(f"{item.id}: too short to be judged: no window of it has a label")
        table = np.array(spans, dtype=np.int64)
        return Example(frames_TF, table[:, 2], table[:, :2])

    def _clip(self, item: Item, rng: np.random.Generator, *, training: bool) -> tuple[Landmarks, tuple[Segment, ...]]:
        """Landmarks of an item, augmented in training, and its segments from the first frame on."""
        landmarks = self._read(item).unmirrored()
        if training:
            landmarks = augment(landmarks, self._augment if item.whole else self._still, rng)
        first = float(landmarks.time_T[0])
        landmarks = landmarks.moved(-first)
        if item.whole:
            # What is one gesture from end to end stays so when its speed changes.
            return landmarks, (Segment(0.0, landmarks.duration, item.segments[0].label),)
        return landmarks, tuple(Segment(one.start - first, one.end - first, one.label) for one in item.segments)

    def _stream(self, item: Item, rng: np.random.Generator, *, training: bool) -> tuple[Landmarks, tuple[Segment, ...]]:
        part = self._parts[0 if training else 1]
        least, most = self._join.clips
        chosen = [item, *(part[int(k)] for k in rng.integers(len(part), size=rng.integers(least, most + 1) - 1))]
        chosen = [chosen[int(k)] for k in rng.permutation(len(chosen))]
        clips = [self._clip(one, rng, training=training) for one in chosen]
        for one, (landmarks, _) in zip(chosen, clips, strict=True):
            if landmarks.points != clips[0][0].points:
                raise LandmarkError(
                    f"{one.path}: has other points than {chosen[0].path}, and clips are joined to streams: "
                    "extract both anew with the same landmarker"
                )
        pauses = rng.uniform(*self._join.pause_ms, size=len(clips) + 1) / 1000
        landmarks, places = join_clips([landmarks for landmarks, _ in clips], pauses, rng)
        segments = [
            Segment(start + one.start, start + one.end, one.label)
            for (start, _), (_, inside) in zip(places, clips, strict=True)
            for one in inside
        ]
        return landmarks, tuple(segments)

    def _windows(
        self, duration: float, segments: Sequence[Segment], frames: int, rng: np.random.Generator | None
    ) -> list[tuple[int, int, int]]:
        """First frame, frame after the last and label's number of windows to train on; without rng all there are."""
        window, hop = (count * self._step for count in in_steps(asdict(self._head), self._step))
        found = windows(duration, segments, window=window, hop=hop, shortest=window / 2)
        found = [one for one in found if one[2] in self._numbers]
        if rng is not None:
            found = [found[k] for k in draw(found, self._head.windows, rng)]
        fps = self._extractor.config.fps
        spans = []
        for start, end, label in found:
            last = max(1, min(round(end * fps), frames))
            first = min(round(start * fps), last - 1)
            spans.append((first, last, self._numbers[label]))
        return spans


def labels_of(items: Sequence[Item], head: HeadConfig) -> tuple[str, ...]:
    """All labels of the items in order; `none` is first where the head has it, and no label where it has not."""
    names = sorted({segment.label for item in items for segment in item.segments} - {NONE})
    return (NONE, *names) if head.kind == CLASS and head.none else tuple(names)


def labelled(items: Sequence[Item], labels: Sequence[str], head: HeadConfig) -> list[Item]:
    """The items that can be trained on: those all of whose labels the model has.

    What is `none` is no label of CTC, and of a classification without it none either: it is taken out of streams, and
    clips of it are left out where nothing is to be learnt of them.
    """
    rest = head.kind == CTC or head.none
    kept = []
    for item in items:
        known = tuple(one for one in item.segments if one.label != NONE or rest)
        if all(one.label in labels or one.label == NONE for one in known) and (known or (rest and not item.segments)):
            kept.append(replace(item, segments=known))
    return kept
