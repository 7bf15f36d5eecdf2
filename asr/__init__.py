"""Speech to text: `asr.load("digits").transcribe("a.wav").text`.

Nothing here but `asr.train` and `asr.language.train` needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asr.recognizer import Recognizer


def load(model: str, *, threads: int = 1) -> Recognizer:
    """Open a recogniser.

    Args:
        model: Name of a shipped model (see `asr doctor`), or a model directory.
        threads: Threads for scoring; 0 takes every core.

    Raises:
        inference.model.ModelError: no such model, or a damaged one.
    """
    from asr.recognizer import Recognizer
    from asr.shipped import find

    return Recognizer.open(find(model), threads=threads)
