"""Sessions, what is pushed into them, and what must hold of whatever comes out.

This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, groupby, pairwise

import numpy as np

from inference.ctc import Emission
from inference.endpoint import EndpointRules
from inference.scorer import Scored, Scorer
from inference.session import LabelSession, Update

INPUT_SECONDS = 0.01
LABELS = 4  # the blank, two that are spoken, and one that only ever is a wrong guess
GUESS = 3


class Windows:
    """Frames of `shift` inputs each, which come once `span` inputs from their beginning on are there, or at the end."""

    def __init__(self, shift: int = 1, span: int = 1):
        self._shift, self._span, self._held = shift, span, np.zeros((0, LABELS), np.float32)

    def push(self, inputs: np.ndarray, /) -> np.ndarray:
        self._held = np.concatenate([self._held.reshape(-1, inputs.shape[1]), inputs])
        return self._frames(max(0, (len(self._held) - self._span) // self._shift + 1))

    def flush(self) -> np.ndarray:
        missing = -len(self._held) % self._shift
        self._held = np.pad(self._held, ((0, missing), (0, 0)))
        return self._frames(len(self._held) // self._shift)

    def _frames(self, count: int) -> np.ndarray:
        said, self._held = np.split(self._held, [count * self._shift])
        return said.reshape(count, self._shift, said.shape[1]).max(axis=1)


class Echo:
    """A scorer that says what the frames say, and in the look-ahead always something else than it will say later."""

    features = labels = LABELS

    def __init__(self, subsampling: int = 1):
        self.subsampling, self.scored = subsampling, 0

    def start(self, streams: int = 1) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((1, streams, 1)), np.zeros((1, streams, 1))

    def __call__(self, frames_BTF: np.ndarray, lengths_B: np.ndarray, *, chunk: int, state: object) -> Scored:
        self.scored += int(lengths_B[0])
        frames = np.pad(frames_BTF[0], ((0, -len(frames_BTF[0]) % self.subsampling), (0, 0)))
        steps = frames.reshape(-1, self.subsampling, LABELS).max(axis=1)
        steps[chunk // self.subsampling :, GUESS] = 2.0
        scores = np.log(steps / steps.sum(axis=1, keepdims=True), dtype=np.float32)
        return Scored(scores[None], np.array([len(steps)]), state)


def session(
    scorer: Echo | Scorer, rules: EndpointRules, *, chunk: int, lookahead: int, shift: int = 1, span: int = 1, **more
) -> LabelSession:
    arguments = {"features": lambda: Windows(shift, span), "shift": shift, "input_seconds": INPUT_SECONDS, **more}
    return LabelSession(scorer, chunk=chunk, lookahead=lookahead, rules=rules, **arguments)


def run(hearing: LabelSession, inputs: np.ndarray, sizes: Sequence[int] = (10**9,)) -> list[Update]:
    """The updates of a whole stream, pushed in pieces of the sizes given, over and over."""
    updates, position = [], 0
    for size in cycle(sizes):
        updates += hearing.push(inputs[position : position + size])
        position += size
        if position >= len(inputs):
            return updates + hearing.flush()


def check_promises(updates: Sequence[Update]) -> None:
    """What has settled stays, the last of it may only grow longer, and the final updates hold all of it."""
    for _, group in groupby(updates, key=lambda update: update.origin):
        segment = list(group)
        final: list[Emission] = []
        known: list[Emission] = []
        for update in segment:
            now = final + list(update.settled)
            if update.final:
                assert not update.tentative
                final = now
            # What goes on without a pause may become final but for its end, which the next update begins with.
            assert len(now) >= len(known) or (update.final and update is not segment[-1])
            pairs = list(zip(known, now, strict=False))
            assert all(before == after for before, after in pairs[:-1])
            for before, after in pairs[-1:]:
                assert (before.label, before.start) == (after.label, after.start)
                assert before.end <= after.end
            known = now if len(now) >= len(known) else known
            assert all(one.end <= other.start for one, other in pairwise(now))
        assert known == final, "all that settled became final"
    origins = [update.origin for update in updates]
    assert origins == sorted(origins)


def check_segments_stand_alone(make: Callable[[], LabelSession], inputs: np.ndarray, updates: list[Update]) -> None:
    origins = sorted({update.origin for update in updates})[1:]
    for origin in {*origins[:1], *origins[len(origins) // 2 :][:1], *origins[-1:]}:
        alone = [replace(u, origin=u.origin + origin, heard=u.heard + origin) for u in run(make(), inputs[origin:])]
        assert [update for update in updates if update.origin >= origin] == alone
