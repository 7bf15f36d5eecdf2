"""Language models of every kind by their place: an ARPA file of n-grams, a compact one, or the directory of an LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr.language.sentences import Unit
from asr.tokens import SPACE
from inference import arpa, ngram_file
from inference.arpa import Level
from inference.lstm_lm import LstmModel
from inference.ngram import NgramModel

AnyLanguageModel = NgramModel | LstmModel


def read(path: str | Path, *, threads: int = 1) -> AnyLanguageModel:
    """The language model at a place.

    Raises:
        inference.ngram.NgramError: a file that holds no n-grams, or damaged.
        inference.model.ModelError: a directory that is no language model, or damaged.
        OSError: it cannot be opened.
    """
    return LstmModel(path, threads=threads) if Path(path).is_dir() else NgramModel.read(path)


def write(path: str | Path, words: Sequence[str], levels: Sequence[Level], *, bits: int = ngram_file.QUANTISED) -> None:
    """Write n-grams: in the compact format where the name ends in `.ngram`, else in the ARPA format.

    Args:
        path: The file.
        words: The vocabulary.
        levels: The n-grams of each order.
        bits: Of a logarithm in the compact format, 8 or 32.

    Raises:
        OSError: the folder does not exist or cannot be written, or the disk is full.
    """
    if is_compact(path):
        ngram_file.write(path, words, levels, bits=bits)
    else:
        arpa.write(path, words, levels)


def is_compact(path: str | Path) -> bool:
    """Whether a file of this name is written in the compact format."""
    return Path(path).suffix == ngram_file.ENDING


def unit(model: AnyLanguageModel) -> Unit:
    """What it is of: an LSTM says so, and n-grams of letters have <space>."""
    if isinstance(model, LstmModel):
        return model.unit
    return "letter" if SPACE in model.words else "word"
