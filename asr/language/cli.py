"""The commands `asr lm`: language models from text, how well they predict texts, and what they make up.

`asr lm train`, which trains an LSTM, takes its options from `asr.language.train_cli`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inference.shell import count

if TYPE_CHECKING:
    from asr.language.entropy import Fits
    from asr.language.sentences import Unit
    from asr.tokens import Tokens
    from inference.ngram import Perplexity

EXAMPLES = """\
examples:
  asr lm make books.txt --output en.arpa                     3-grams of words
  asr lm make books.txt.gz --prune 0,0,1 --vocabulary-size 50000 --output small.arpa.gz
  asr lm make books.txt.gz --vocabulary-size 20000 --size 12 --output small.ngram
                                                             compact, read at once, and pruned to 12 MB
  asr lm convert en.arpa en.ngram                            and back: asr lm convert en.ngram en.arpa
  asr lm make train.jsonl.gz --unit letter --order 7 --output letters.arpa
  asr lm train books.txt --out en_lstm                       an LSTM instead; the model comes into en_lstm/model
  asr lm make train.tsv --unit letter --for my_model/model --output letters.arpa
  asr lm perplexity en.arpa test.txt                         and: asr lm perplexity en_lstm/model test.txt
  asr lm generate en_lstm/model "once upon a" --count 5
"""
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


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `lm` with its commands to those of `asr`."""
    lm = commands.add_parser(
        "lm",
        help="make language models from text, n-grams or an LSTM, and measure them",
        description="Make language models from text, n-grams or an LSTM, and measure how well they predict texts.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lm.set_defaults(run=lambda parsed: lm.print_help() or 2)
    actions = lm.add_subparsers(metavar="COMMAND", title="commands")

    make = actions.add_parser(
        "make", help="estimate n-grams from text and write them to a file", description=_make.__doc__
    )
    make.add_argument("texts", nargs="+", metavar="TEXT", help=TEXTS)
    make.add_argument("--output", required=True, metavar="FILE", help=OUTPUT)
    make.add_argument(
        "--order",
        type=count,
        default=3,
        metavar="N",
        help="longest n-grams, 1 to 10; letters need more than words, and KenLM reads up to 6 (default: 3)",
    )
    make.add_argument(
        "--unit",
        choices=("word", "letter"),
        default="word",
        help="what the n-grams are of; letter: as models that write letters do, with <space> (default: word)",
    )
    make.add_argument(
        "--vocabulary-size",
        type=count,
        metavar="N",
        help="keep the N most frequent words; others become <unk> (default: every word is kept)",
    )
    make.add_argument(
        "--prune",
        type=_counts,
        default=(0,),
        metavar="N,N,...",
        help="leave out n-grams that come so often or less, a number for each order, the last one for all further "
        "orders; 0,0,1 leaves out 3-grams that come once (default: 0)",
    )
    make.add_argument(
        "--prune-entropy",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out n-grams without which the perplexity of the text rises by a smaller share, such as 1e-8 "
        "(Stolcke 1998; default: 0)",
    )
    make.add_argument(
        "--size",
        type=float,
        metavar="MB",
        help="... by as small a share as makes a file of at most so many million bytes, in the compact format",
    )
    _add_bits(make)
    _add_recognizer(make)
    make.set_defaults(run=_make)

    convert = actions.add_parser(
        "convert", help="write n-grams in the compact format, or in the ARPA format", description=_convert.__doc__
    )
    convert.add_argument("model", metavar="LM", help="file of n-grams in the one format or the other")
    convert.add_argument("output", metavar="FILE", help=OUTPUT)
    _add_bits(convert)
    convert.set_defaults(run=_convert)

    actions.add_parser("train", help="train an LSTM on text (see `asr lm train --help`)", add_help=False)

    perplexity = actions.add_parser(
        "perplexity", help="measure how well a model predicts texts", description=_perplexity.__doc__
    )
    perplexity.add_argument("model", metavar="LM", help=MODEL)
    perplexity.add_argument("texts", nargs="+", metavar="TEXT", help=TEXTS)
    perplexity.add_argument(
        "--unit", choices=("word", "letter"), help="what its n-grams are of (default: letter where it has <space>)"
    )
    _add_recognizer(perplexity)
    perplexity.set_defaults(run=_perplexity)

    generate = actions.add_parser("generate", help="go on with a text as a model would", description=_generate.__doc__)
    generate.add_argument("model", metavar="LM", help=MODEL)
    generate.add_argument("text", nargs="?", default="", metavar="TEXT", help="how it begins (default: nothing)")
    generate.add_argument(
        "--words", type=count, default=20, metavar="N", help="words that follow at most (default: 20)"
    )
    generate.add_argument(
        "--count", type=count, default=1, metavar="N", help="how many texts, a line each (default: 1)"
    )
    generate.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="1: as the model has it; lower: what is likely is likelier; 0: the likeliest word each time (default: 1)",
    )
    generate.add_argument("--seed", type=count, default=0, metavar="N", help="the same one draws the same (default: 0)")
    generate.set_defaults(run=_generate)


def _add_bits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bits",
        type=int,
        choices=(8, 32),
        help="of a logarithm in the compact format; 8: 256 values for each order, 32: as they are (default: 8)",
    )


def _add_recognizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="recognizer",
        metavar="NAME|DIR",
        help="recogniser that it is for: texts are taken in the form that this writes, letters are its labels "
        "(default: small letters without punctuation, each character a letter)",
    )


def _make(parsed: argparse.Namespace) -> int:
    """Estimate an n-gram model by interpolated modified Kneser-Ney and write it to a file.

    Texts are compared as everywhere here: in small letters and without punctuation, unless the recogniser that it is
    for writes otherwise. A line is a sentence.
    """
    from asr.language.kneser_ney import estimate
    from asr.language.models import write
    from asr.language.sentences import files

    output, bits = _output(parsed)
    if any(output.exists() and path.exists() and output.samefile(path) for path in files(parsed.texts)):
        raise LanguageModelError(f"{output}: is one of the texts; give another file to --output")
    with _progress(parsed.texts, _tokens(parsed)) as (read, say):
        made = estimate(
            read(parsed.unit),
            order=parsed.order,
            vocabulary_size=parsed.vocabulary_size,
            prune=parsed.prune,
            prune_entropy=parsed.prune_entropy,
            fits=_fits(parsed),
            progress=say,
        )
        say("writing")
        write(output, made.words, made.levels, **bits)
    lines = [f"{made.num_sentences:,} sentences, {made.num_words:,} {parsed.unit}s"]
    if made.num_unknown:
        lines[0] += f", of them {made.num_unknown / made.num_words:.2%} unknown"
    for order, (level, discounts) in enumerate(zip(made.levels, made.discounts, strict=True), start=1):
        shown = ", ".join(f"{discount:.3f}" for discount in discounts)
        lines.append(f"{len(level.word_G):,} {order}-grams; discounts {shown}")
        if order in made.fallback:
            lines[-1] += " (too little text to estimate them: fixed ones)"
    if made.threshold:
        lines.append(f"without what changes the perplexity by less than {made.threshold:.3g}")
    lines.append(_written(output))
    print("\n".join(lines), file=sys.stderr)
    print(output)
    return 0


def _fits(parsed: argparse.Namespace) -> Callable[[Sequence[str]], Fits] | None:
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


def _convert(parsed: argparse.Namespace) -> int:
    """Write the n-grams of a file in another format: the compact one, some 3 to 4 bytes an n-gram, or ARPA.

    A model is the same in all that it says, but for what 8 bits lose of its logarithms; 32 bits lose nothing.
    """
    from asr.language.models import write
    from inference import arpa, ngram_file

    output, bits = _output(parsed)
    if ngram_file.is_compact(parsed.model):
        words, tree = ngram_file.read(parsed.model)
        levels = tree.levels()
    else:
        words, levels = arpa.read(parsed.model)
    write(output, words, levels, **bits)
    print(_written(output), file=sys.stderr)
    print(output)
    return 0


def _output(parsed: argparse.Namespace) -> tuple[Path, dict[str, int]]:
    """The file to write, and with how many bits if that was said."""
    from asr.language.models import is_compact

    output = Path(parsed.output)
    if output.is_dir() or not output.parent.is_dir():
        raise LanguageModelError(f"{output}: is no file in a folder that is there; give another one")
    if parsed.bits is not None and not is_compact(output):
        raise LanguageModelError(f"--bits goes with a file that ends in .ngram; name {output} so, or leave it out")
    return output, {} if parsed.bits is None else {"bits": parsed.bits}


def _written(output: Path) -> str:
    return f"{output.stat().st_size / 1e6:,.1f} MB"


def _perplexity(parsed: argparse.Namespace) -> int:
    """Measure how well a model predicts texts: perplexity with and without unknown words, and how many those are."""
    from asr.language import models as language_models
    from asr.tokens import SPACE

    words = 0

    def counted(sentences: Iterable[list[str]]) -> Iterator[list[str]]:
        nonlocal words
        for sentence in sentences:
            words += 1 + sentence.count(SPACE)
            yield sentence

    tokens = _tokens(parsed)
    with _progress(parsed.texts, tokens) as (read, say):
        say("reading the model")
        model = language_models.read(parsed.model)
        unit = parsed.unit or language_models.unit(model)
        if isinstance(model, language_models.LstmModel) and unit != model.unit:
            raise LanguageModelError(f"{parsed.model}: is of {model.unit}s; leave --unit {unit} out")
        say("measuring")
        found = model.perplexity(counted(read(unit)))
    print(_summary(found, unit))
    if unit == "letter":
        # Of the same texts, in the same nats: what a model of words would have to beat.
        print(f"perplexity per word               {found.shared(words):.2f}  (a word is its letters and what ends it)")
    if found.unknown:
        _warn_of_spelling(parsed.model, model.words, unit, tokens)
    return 0


def _generate(parsed: argparse.Namespace) -> int:
    """Go on with a text as a model would: each next word is drawn with the probability that the model gives it.

    A line ends where the model ends the sentence, or after --words. Words are never <unk>.
    """
    from asr.language import models as language_models
    from asr.language.generate import Generator

    model = language_models.read(parsed.model)
    unit: Unit = language_models.unit(model)
    generator = Generator(model, unit, temperature=parsed.temperature)
    unknown = generator.unknown(parsed.text)
    if unknown:
        print(f"asr: {parsed.model} does not know {', '.join(unknown)}", file=sys.stderr)
    for number in range(parsed.count):
        print(generator(parsed.text, words=parsed.words, seed=parsed.seed, number=number), flush=True)
    return 0


def _summary(found: Perplexity, unit: str) -> str:
    return "\n".join(
        [
            f"{found.sentences:,} sentences, {found.words:,} {unit}s, {found.unknown:,} of them unknown "
            f"({found.unknown_rate:.2%})",
            f"perplexity with unknown {unit}s     {found.including_unknown:.2f}",
            f"perplexity without unknown {unit}s  {found.excluding_unknown:.2f}",
        ]
    )


def _tokens(parsed: argparse.Namespace) -> Tokens | None:
    if parsed.recognizer is None:
        return None
    from asr.shipped import find
    from asr.tokens import Tokens
    from inference import model as models

    return Tokens.of(models.load(find(parsed.recognizer)))


def _warn_of_spelling(path: str, words: Iterable[str], unit: str, tokens: Tokens | None) -> None:
    """Texts are normalised, but a model of others may not be; then its words are never found."""
    from asr.text import PLAIN, normalize

    if unit == "letter":
        return
    form = PLAIN if tokens is None else tokens.form
    other = [word for word in words if not word.startswith("<") and normalize(word, form) != word]
    if other:
        how = "in small letters and without punctuation" if form == PLAIN else "as they are written"
        print(
            f"asr: {len(other):,} words of {path} can never be found, such as {other[0]}: texts are read {how}",
            file=sys.stderr,
        )


@contextmanager
def _progress(
    texts: list[str], tokens: Tokens | None
) -> Iterator[tuple[Callable[[str], Iterator[list[str]]], Callable[[str], None]]]:
    """A bar on a terminal: yields what reads the texts as sentences of a unit, and what says what is being done."""
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

        def read(unit: str) -> Iterator[list[str]]:
            return sentences.read(paths, unit, tokens=tokens, progress=lambda size: bar.advance(task, size))

        yield read, say


def _counts(text: str) -> tuple[int, ...]:
    """The value of an option: whole numbers with commas between them."""
    return tuple(count(number) for number in text.split(","))
