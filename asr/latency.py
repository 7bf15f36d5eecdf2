"""How long after it was said a word is shown, and how often what was shown was taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asr.stream import SpeechEvent
from asr.transcript import Word


@dataclass
class LatencyLog:
    """Collects what was shown when. Times are seconds from the first sample on, of the stream or of a clock beside it.

    Attributes:
        keep_words: Whether to fill `words` and `finals`, which grow with the stream.
        words: Each word of the final events, and when it was first shown so as to stay.
        finals: The last word of each final event, and when that came.
        revoked: Words that were shown and then taken back or changed.
        compute: Seconds spent on the stream so far.
        heard: Seconds of the stream so far.
        losses: How often sound was lost before it could be heard.
    """

    keep_words: bool = True
    words: list[tuple[Word, float]] = field(default_factory=list)
    finals: list[tuple[Word, float]] = field(default_factory=list)
    revoked: int = 0
    compute: float = 0.0
    heard: float = 0.0
    losses: int = 0
    _shown: list[tuple[str, float]] = field(default_factory=list)

    def note(self, events: Sequence[SpeechEvent], *, now: float) -> None:
        """What one push led to."""
        for event in events:
            shown = []
            for place, word in enumerate(event.words):
                before = self._shown[place] if place < len(self._shown) else None
                shown.append(before if before and before[0] == word.text else (word.text, now))
            # Words beyond the end of a segment stay on the screen where the next event begins with them.
            beyond = self._shown[len(shown) :] if event.final else []
            kept = sum(one is other for one, other in zip(self._shown, shown, strict=False))
            self.revoked += len(self._shown) - len(beyond) - kept
            self._shown = shown
            if event.final:
                self._ended(event.words, now)
                self._shown = beyond
        if events and events[-1].final:
            self.revoked += len(self._shown)
            self._shown = []

    def _ended(self, words: Sequence[Word], now: float) -> None:
        if self.keep_words:
            self.words += [(word, at) for word, (_, at) in zip(words, self._shown, strict=True)]
            self.finals.append((words[-1], now))

    def report(self, *, chunk: float, lookahead: float) -> str:
        """A few lines for people; the word ends are the recogniser's own."""
        lines = [
            f"chunk {1000 * chunk:.0f} ms, look-ahead {1000 * lookahead:.0f} ms: algorithmic latency "
            f"{1000 * (chunk + lookahead):.0f} ms",
            f"word end to first shown: {_spread([at - word.end for word, at in self.words])}",
            f"end of speech to final text: {_spread([at - word.end for word, at in self.finals])}",
        ]
        if self.heard:
            lines.append(f"words taken back: {self.revoked}, {self.revoked / self.heard:.3f} a second")
            lines.append(f"computing: {100 * self.compute / self.heard:.2f} % of the time that the sound lasts")
        return "\n".join(lines)


def _spread(delays: Sequence[float]) -> str:
    if not delays:
        return "nothing was recognised"
    median, high = np.percentile(delays, [50, 95])
    return f"median {1000 * median:.0f} ms, 95 % within {1000 * high:.0f} ms ({len(delays)})"
