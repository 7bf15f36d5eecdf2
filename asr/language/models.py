"""Language models of either kind by their place: an ARPA file of n-grams, or the directory of an LSTM."""

from __future__ import annotations

from pathlib import Path

from asr.language.sentences import Unit
from asr.tokens import SPACE
from inference.lstm_lm import LstmModel
from inference.ngram import NgramModel

AnyLanguageModel = NgramModel | LstmModel


def read(path: str | Path, *, threads: int = 1) -> AnyLanguageModel:
    """The language model at a place.

    Raises:
        inference.ngram.NgramError: a file that is no ARPA file, or damaged.
        inference.model.ModelError: a directory that is no language model, or damaged.
        OSError: it cannot be opened.
    """
    return LstmModel(path, threads=threads) if Path(path).is_dir() else NgramModel.read(path)


def unit(model: AnyLanguageModel) -> Unit:
    """What it is of: an LSTM says so, and n-grams of letters have <space>."""
    if isinstance(model, LstmModel):
        return model.unit
    return "letter" if SPACE in model.words else "word"
