"""Labels to words with their times and confidences: the one place that files, streams and alignments get them from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asr.confidence.calibration import Calibration
from asr.tokens import Tokens
from asr.transcript import Part, Word
from inference.ctc import Emission
from inference.model import Model

UNCALIBRATED = Calibration()


@dataclass(frozen=True)
class WordMaker:
    """Makes words of emissions, with what the model's calibration knows.

    Args:
        tokens: The labels.
        step_seconds: Time between two frames of scores.
        calibration: What confidences and times are corrected by; if not given, nothing.
    """

    tokens: Tokens
    step_seconds: float
    calibration: Calibration = UNCALIBRATED

    @classmethod
    def of(cls, model: Model, tokens: Tokens | None = None) -> WordMaker:
        """The one of a model; of a search through a lexicon with its `tokens`.

        Raises:
            ModelError: its calibration cannot be used.
        """
        return cls(tokens or Tokens.of(model), model.step_seconds, Calibration.of(model))

    def words(self, emissions: Iterable[Emission], **limits: float) -> list[Word]:
        """Words of emissions, which spaces divide; see `made`."""
        return self.made(self.tokens.divided(emissions), **limits)

    def made(
        self,
        divided: Sequence[tuple[str, Sequence[Emission]]],
        *,
        begin: float = 0.0,
        earliest: float = 0.0,
        latest: float = math.inf,
        parts: bool = False,
    ) -> list[Word]:
        """Words of their texts and emissions, in order: none begins before the one before it, and none overlap.

        Where corrected times would overlap, the earlier word ends where the later one begins; starts are surer.

        Args:
            divided: What each word is written as, and its emissions, one at least.
            begin: Time of frame 0, in seconds.
            earliest: Time before which none begins.
            latest: Time after which none ends; the last frame may reach beyond the last sample.
            parts: Give each word its labels with times as well.
        """
        starts, ends, now = [], [], earliest
        for _, group in divided:
            first, last = (self.tokens.sound(one.label) for one in (group[0], group[-1]))
            early, late = self.calibration.times.shifts(first, last) if self.calibration.times else (0.0, 0.0)
            now = min(max(begin + group[0].start * self.step_seconds + early, now), latest)
            starts.append(now)
            ends.append(min(begin + group[-1].end * self.step_seconds + late, latest))
        until = [*starts[1:], math.inf][: len(starts)]
        ends = [max(start, min(end, later)) for start, end, later in zip(starts, ends, until, strict=True)]
        return [
            Word(
                text,
                start,
                end,
                self.calibration.probability(group),
                self._parts(group, begin, start, end) if parts else (),
            )
            for (text, group), start, end in zip(divided, starts, ends, strict=True)
        ]

    def _parts(self, group: Sequence[Emission], begin: float, start: float, end: float) -> tuple[Part, ...]:
        """The labels of a word from `start` to `end`: each lasts until the next one begins."""
        times = [start]
        for one in group[1:]:
            label = self.tokens.sound(one.label)
            early = self.calibration.times.shifts(label, label)[0] if self.calibration.times else 0.0
            times.append(min(max(begin + one.start * self.step_seconds + early, times[-1]), end))
        return tuple(
            Part(self.tokens.sound(one.label), begins, ends, one.score)
            for one, begins, ends in zip(group, times, [*times[1:], end], strict=True)
        )
