"""Speech to text: `asr.load("digits").transcribe("a.wav").text`; and to labels: `asr.load_classifier`.

Nothing here but `asr.train` and `asr.language.train` needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asr.classifier import Classifier
    from asr.recognizer import Recognizer


def load(model: str, *, threads: int = 1) -> Recognizer:
    """Open a recogniser.

    Args:
        model: Name of a shipped model (see `asr doctor`), or a model directory.
        threads: Threads for scoring; 0 takes every core.

    Raises:
        inference.model.ModelError: no such model, or a damaged one.
        asr.tokens.TokenError: it gives labels and writes no words.
    """
    from asr.recognizer import Recognizer
    from asr.shipped import find

    return Recognizer.open(find(model), threads=threads)


def load_classifier(model: str, *, threads: int = 1) -> Classifier:
    """Open a model that gives recordings a label, such as who speaks.

    Args:
        model: Model directory.
        threads: Threads for scoring; 0 takes every core.

    Raises:
        inference.model.ModelError: no such model, a damaged one, or one that writes words.
    """
    from asr.classifier import Classifier
    from asr.shipped import find

    return Classifier.open(find(model), threads=threads)
