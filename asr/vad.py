"""Voice activity by silero-vad's network, as another judge of silence than the decoder's blanks.

The network comes with the package `silero-vad` (MIT), whose Python part needs torch; only its ONNX file is used here,
and nothing of the package is imported.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from pathlib import Path

import numpy as np

from features.audio import Resampler
from inference.onnx_session import open_graph

PACKAGE_FILE = "data/silero_vad.onnx"
# A probability above the first begins speech, one below the second ends it, as in the package itself.
SPEECH, SILENCE = 0.5, 0.35
# Samples that the network sees at a time, and of those before them, by rate.
WINDOWS = {8000: (256, 32), 16000: (512, 64)}

# How far a resampler may lag behind what was pushed.
RESAMPLER_SECONDS = 0.05


class VadError(ValueError):
    """The network is not there, or is no such network."""


def find_model() -> Path:
    """The ONNX file of the installed package.

    Raises:
        VadError: it is not installed.
    """
    package = importlib.util.find_spec("silero_vad")
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (Path(folder) / PACKAGE_FILE).is_file():
            return Path(folder) / PACKAGE_FILE
    raise VadError(
        "silero-vad is not installed: pip install 'saywave[vad]' or, without torch, pip install --no-deps silero-vad"
    )


class SileroVad:
    """Which steps of a stream are silent. It runs on through endpoints: what it has heard before them helps it.

    Args:
        rate: Samples a second of what is pushed.
        model: The ONNX file; that of the installed package if not given.
    """

    def __init__(self, rate: int, *, model: Path | None = None):
        path = find_model() if model is None else model
        try:
            self._network = open_graph(path)
        except Exception as error:  # ONNX Runtime raises classes of its own
            raise VadError(f"{path}: is no network that can be run: {str(error).splitlines()[0]}") from error
        if [value.name for value in self._network.get_inputs()] != ["input", "state", "sr"]:
            raise VadError(f"{path}: is another network than silero-vad's of version 5 and later")
        self._rate = rate
        self._network_rate = rate if rate in WINDOWS else 16000
        self._window, self._context = WINDOWS[self._network_rate]
        self._lag = 0 if rate == self._network_rate else round(RESAMPLER_SECONDS * rate)
        self.reset()

    def reset(self) -> None:
        """A new stream begins."""
        self._resampler = Resampler(self._rate, self._network_rate)
        self._held_S = np.zeros(0, np.float32)
        self._before_S = np.zeros(self._context, np.float32)
        self._state = np.zeros((2, 1, 128), np.float32)
        self._speaks = False
        self._silent: deque[bool] = deque()
        self._first = 0  # window that the first of these is

    def push(self, samples_S: np.ndarray) -> None:
        """Take what comes next on the stream."""
        self._held_S = np.concatenate([self._held_S, self._resampler.push(samples_S)])
        whole = len(self._held_S) // self._window * self._window
        for start in range(0, whole, self._window):
            self._judge(self._held_S[start : start + self._window])
        self._held_S = self._held_S[whole:]

    def silent(self, first: int, count: int, step: int) -> list[bool]:
        """Whether each of `count` steps of `step` samples, from sample `first` on, is silent.

        The last ones are as the last window that lies within them: what more was pushed must not show.
        """
        if not self._silent:
            return count * [True]
        known = (first + count * step - self._lag) * self._network_rate // self._rate // self._window - 1 - self._first
        judged = []
        for middle in range(first + step // 2, first + step // 2 + count * step, step):
            window = middle * self._network_rate // self._rate // self._window - self._first
            judged.append(self._silent[max(0, min(window, known, len(self._silent) - 1))])
        return judged

    def let_go(self, before: int) -> None:
        """Forget what lies before this sample; it will not be asked for again."""
        window = before * self._network_rate // self._rate // self._window
        while self._first < window and len(self._silent) > 1:
            self._silent.popleft()
            self._first += 1

    def _judge(self, window_S: np.ndarray) -> None:
        seen_S = np.concatenate([self._before_S, window_S])
        probability, self._state = self._network.run(
            None, {"input": seen_S[None], "state": self._state, "sr": np.array(self._network_rate, np.int64)}
        )
        self._before_S = window_S[-self._context :]
        self._speaks = probability[0, 0] >= (SILENCE if self._speaks else SPEECH)
        self._silent.append(not self._speaks)
