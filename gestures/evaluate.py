"""Errors of a model on clips and streams whose gestures are known, through the exported graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.landmarks import Landmarks
from gestures.reading import ReadClips
from gestures.recognizer import BEAM, Recognizer
from gestures.spotting import NONE, SpotRules
from gestures.stream import CHUNK_SECONDS, LOOKAHEAD_SECONDS, GestureSession
from gestures.stream_report import Stream, StreamReport, Told
from inference.model import CLASS
from inference.progress import with_bar
from training.class_report import ClassReport, Judged, ReportError, make_report
from training.manifests import Item


@dataclass(frozen=True)
class Evaluation:
    """What was measured on clips, on streams, or on both."""

    clips: ClassReport | None
    streams: StreamReport | None

    @property
    def _parts(self) -> list[ClassReport | StreamReport]:
        return [part for part in (self.clips, self.streams) if part is not None]

    def figures(self) -> dict[str, float]:
        """Figures by name."""
        return {name: value for part in self._parts for name, value in part.figures().items()}

    def summary(self) -> str:
        """A few lines."""
        return "\n".join(part.summary() for part in self._parts)

    def to_markdown(self, *, picture: str | None = None) -> str:
        """The whole report; `picture` is the file name of the confusion matrix beside it."""
        pages = [] if self.clips is None else [self.clips.to_markdown(picture=picture)]
        return "\n".join(pages + ([] if self.streams is None else [self.streams.to_markdown()]))

    def draw(self, path: str | Path, *, title: str = "") -> bool:
        """Draw the confusion matrix of the clips, if there are any."""
        return self.clips is not None and self.clips.draw(path, title=title)


def evaluate(
    recognizer: Recognizer,
    items: Sequence[Item],
    *,
    chunk: float = CHUNK_SECONDS,
    lookahead: float = LOOKAHEAD_SECONDS,
    rules: SpotRules | Mapping[str, float] | None = None,
    beam: int = BEAM,
) -> Evaluation:
    """Recognise every item. One that is a gesture from end to end is a clip; any other is a stream, which is recognised
    with full context and watched live.

    Args:
        recognizer: The model. One of sequences (CTC) reads clips as streams too.
        items: Clips and streams.
        chunk: Seconds by which the recogniser advances in a stream.
        lookahead: Seconds that it sees beyond them.
        rules: When a gesture counts as made; the model's own where not given.
        beam: Hypotheses of the beam search of sequences with full context; live the search is greedy.

    Raises:
        ReportError: there is nothing to evaluate.
        LandmarkError: a file cannot be read.
    """
    if not items:
        raise ReportError("nothing to evaluate: give at least one clip")
    read = ReadClips()
    clips: list[Judged] = []
    streams: list[Stream] = []
    for item in with_bar(items, "evaluate"):
        landmarks = read(item)
        if recognizer.model.head["kind"] == CLASS and item.whole:
            answer = recognizer.classify(landmarks)
            label = item.segments[0].label
            clips.append(Judged(item.id, item.speaker or None, label, answer.label, answer.confidence))
        else:
            session = recognizer.stream(chunk=chunk, lookahead=lookahead, rules=rules)
            reference = tuple(one for one in item.segments if one.label != NONE)
            whole = tuple(one.label for one in recognizer.recognize(landmarks, rules=rules, beam=beam).gestures)
            streams.append(Stream(item.id, reference, tuple(_watched(session, landmarks)), item.duration, whole))
    labels = dict.fromkeys(
        (*recognizer.model.labels, *(one.reference for one in clips), *(one.recognised for one in clips))
    )
    return Evaluation(
        make_report(list(labels), clips) if clips else None, StreamReport(tuple(streams)) if streams else None
    )


def _watched(session: GestureSession, landmarks: Landmarks) -> Iterator[Told]:
    """Events as they come when frame after frame is pushed."""
    for number, time in enumerate(landmarks.time_T.tolist()):
        yield from (Told(event, time) for event in session.push(landmarks[number : number + 1]))
    if len(landmarks):
        end = float(landmarks.time_T[0]) + landmarks.duration
        yield from (Told(event, end) for event in session.flush())
