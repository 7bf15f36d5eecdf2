"""Options that several commands of `asr lm` have, and what becomes of them: which texts, what n-grams, which file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inference.shell import count

if TYPE_CHECKING:
    from asr.language.entropy import Fits
    from asr.tokens import Tokens

TEXTS = (
    "text file with a sentence a line (also .gz), manifest (.jsonl, .jsonl.gz), table (.tsv with a column text), or "
    "folder of .txt files"
)
MODEL = (
    "language model: a file of n-grams in the ARPA format (.arpa, .arpa.gz) or the compact one (.ngram), or a "
    "directory that `asr lm train` made"
)
OUTPUT = "the model; ending in .ngram: the compact format, which is read at once; else ARPA, compressed if .gz"


class LanguageModelError(ValueError):
    """A language model that cannot be made or measured; the message says why and what to do."""


def add_ngrams(parser: argparse.ArgumentParser) -> None:
    """What n-grams are made, and where they are written."""
    parser.add_argument("--output", required=True, metavar="FILE", help=OUTPUT)
    parser.add_argument(
        "--order",
        type=count,
        default=3,
        metavar="N",
        help="longest n-grams, 1 to 10; letters need more than words, and KenLM reads up to 6 (default: 3)",
    )
    parser.add_argument(
        "--unit",
        choices=("word", "letter"),
        default="word",
        help="what the n-grams are of; letter: as models that write letters do, with <space> (default: word)",
    )


def add_pruning(parser: argparse.ArgumentParser) -> None:
    """How many of them are left out."""
    parser.add_argument(
        "--prune-entropy",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out n-grams without which the perplexity of the text rises by a smaller share, such as 1e-8 "
        "(Stolcke 1998; default: 0)",
    )
    parser.add_argument(
        "--size",
        type=float,
        metavar="MB",
        help="... by as small a share as makes a file of at most so many million bytes, in the compact format",
    )


def add_bits(parser: argparse.ArgumentParser) -> None:
    """How exact the logarithms of a compact file are."""
    parser.add_argument(
        "--bits",
        type=int,
        choices=(8, 32),
        help="of a logarithm in the compact format; 8: 256 values for each order, 32: as they are (default: 8)",
    )


def add_recognizer(parser: argparse.ArgumentParser) -> None:
    """Which recogniser's form of texts it is."""
    parser.add_argument(
        "--for",
        dest="recognizer",
        metavar="NAME|DIR",
        help="recogniser that it is for: texts are taken in the form that this writes, letters are its labels "
        "(default: small letters without punctuation, each character a letter)",
    )


def fits(parsed: argparse.Namespace) -> Callable[[Sequence[str]], Fits] | None:
    """Whether a model of these words fits into `--size`; none where that is not given."""
    from asr.language.models import is_compact
    from inference import ngram_file

    if parsed.size is None:
        return None
    if not is_compact(parsed.output):
        raise LanguageModelError(
            f"--size goes with a file that ends in .ngram; name {parsed.output} so, or leave it out"
        )
    if not parsed.size > 0:
        raise LanguageModelError(f"--size is {parsed.size:g}; give a number of million bytes above 0, such as 12")
    bits = parsed.bits or ngram_file.QUANTISED
    return lambda words: lambda *counts: ngram_file.size(words, *counts, bits=bits) <= 1e6 * parsed.size


def output_of(parsed: argparse.Namespace) -> tuple[Path, dict[str, int]]:
    """The file to write, and with how many bits if that was said."""
    from asr.language.models import is_compact

    output = Path(parsed.output)
    if output.is_dir() or not output.parent.is_dir():
        raise LanguageModelError(f"{output}: is no file in a folder that is there; give another one")
    if parsed.bits is not None and not is_compact(output):
        raise LanguageModelError(f"--bits goes with a file that ends in .ngram; name {output} so, or leave it out")
    return output, {} if parsed.bits is None else {"bits": parsed.bits}


def check_not_read(output: Path, texts: Sequence[Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        LanguageModelError: the output is one of the texts.
    """
    if is_among(output, texts):
        raise LanguageModelError(f"{output}: is one of the texts; give another file to --output")


def is_among(file: Path, others: Sequence[Path]) -> bool:
    """Whether a file is there and one of the others, by whatever name."""
    return file.exists() and any(other.exists() and file.samefile(other) for other in others)


def share_unknown(unknown: int, words: int) -> str:
    """What is added to a number of words of which some became <unk>."""
    return f", of them {unknown / words:.2%} unknown" if unknown else ""


def say_written(output: Path, lines: Sequence[str] = (), *, threshold: float = 0.0) -> None:
    """What was made, on standard error, with the threshold of the pruning and the size of the file; then its name."""
    pruned = [f"without what changes the perplexity by less than {threshold:.3g}"] if threshold else []
    print("\n".join([*lines, *pruned, f"{output.stat().st_size / 1e6:,.1f} MB"]), file=sys.stderr)
    print(output)


def tokens_of(parsed: argparse.Namespace) -> Tokens | None:
    """The labels of the recogniser, where one is named."""
    if parsed.recognizer is None:
        return None
    from asr.shipped import find
    from asr.tokens import Tokens
    from inference import model as models

    return Tokens.of(models.load(find(parsed.recognizer)))


@contextmanager
def progress(
    texts: list[str], tokens: Tokens | None
) -> Iterator[tuple[Callable[..., Iterator[list[str]]], Callable[[str], None]]]:
    """A bar on a terminal: yields `read(unit)` and `say(what)`.

    The one gives the texts, or with `read(unit, some)` these of them alone, as sentences of a unit; the other shows
    what is being done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from asr.language import sentences

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        paths = sentences.files(texts)
        task = bar.add_task("", total=sum(path.stat().st_size for path in paths) or None)

        def say(what: str) -> None:
            bar.update(task, description=what)

        def read(unit: str, some: Sequence[str] | None = None) -> Iterator[list[str]]:
            these = paths if some is None else some
            return sentences.read(these, unit, tokens=tokens, progress=lambda size: bar.advance(task, size))

        yield read, say
