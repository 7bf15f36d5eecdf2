"""Where one stretch of speech, or of signs, ends and the next may begin: rules on what the decoder does not say.

The rules are of the kind that Kaldi's online decoding uses: a silence after some text, a longer one without any, and a
length beyond which a shorter pause will do. They look at each step of scores in turn, so that an endpoint is the same
however the input was cut into pushes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple


@dataclass(frozen=True)
class EndpointRules:
    """When a segment is over; times in seconds.

    Args:
        after_text: Silence that ends a segment in which something was recognised.
        without_text: Silence that ends a segment in which nothing was; it is then forgotten.
        longest: Length from which on a pause of `short_pause` is enough.
        short_pause: That pause.
        patience: How much longer than `longest` to wait for one. After that what is recognised becomes final without a
            pause, and recognition goes on as it was: a cut through speech would lose a word.
    """

    after_text: float = 0.8
    without_text: float = 5.0
    longest: float = 20.0
    short_pause: float = 0.5
    patience: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"the endpoint rule {field.name} is {value}; it must be more than 0 seconds")


NEVER = EndpointRules(*(5 * [math.inf]))


# Times become steps by a division: a rule that is meant to be whole steps may come out a rounding above them.
ROUNDING = 1e-6


class Pause(NamedTuple):
    """An endpoint: the silence from step `start` to step `end`, counted from the beginning of the segment."""

    start: int
    end: int


class Endpointer:
    """Watches one segment, step by step.

    Args:
        rules: When it is over.
        step_seconds: Time between two steps of scores.
    """

    def __init__(self, rules: EndpointRules, *, step_seconds: float):
        self._rules = {field.name: getattr(rules, field.name) / step_seconds for field in fields(rules)}
        self.reset()

    def reset(self) -> None:
        """A new segment begins."""
        self.steps = 0
        """Steps of the segment so far."""
        self._since = 0
        self._spoken = False
        self.quiet_from = 0
        """First step of the silence that lasts at this moment."""

    def observe(self, silent: Sequence[bool]) -> Pause | None:
        """Take the next steps, which are silent or not; the first endpoint in them, where they hold one."""
        for quiet in silent:
            self.steps += 1
            if not quiet:
                self._spoken = True
                self.quiet_from = self.steps
                continue
            needed = self._rules["after_text" if self._spoken else "without_text"]
            if self._spoken and self._length >= self._rules["longest"] - ROUNDING:
                needed = min(needed, self._rules["short_pause"])
            if self.steps - self.quiet_from >= needed - ROUNDING:
                return Pause(self.quiet_from, self.steps)
        return None

    @property
    def overdue(self) -> bool:
        """Whether the segment has gone on for too long without any pause."""
        return self._spoken and self._length >= self._rules["longest"] + self._rules["patience"] - ROUNDING

    def made_final(self) -> None:
        """What was recognised has become final without a pause: the length counts from here."""
        self._since = self.steps

    @property
    def _length(self) -> int:
        return self.steps - self._since
