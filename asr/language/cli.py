"""The commands `asr lm`: language models from text, how well they predict texts, and what they make up.

`asr lm train`, which trains an LSTM, takes its options from `asr.language.train_cli`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from asr.language import options
from asr.language.mix_cli import add_options as add_mix
from asr.language.mix_cli import run as run_mix
from inference.shell import count

if TYPE_CHECKING:
    from asr.language.sentences import Unit
    from asr.tokens import Tokens
    from inference.ngram import Perplexity

EXAMPLES = """\
examples:
  asr lm make books.txt --output en.arpa                     3-grams of words
  asr lm make books.txt.gz --prune 0,0,1 --vocabulary-size 50000 --output small.arpa.gz
  asr lm make books.txt.gz --vocabulary-size 20000 --size 12 --output small.ngram
                                                             compact, read at once, and pruned to 12 MB
  asr lm mix books.txt.gz train.jsonl.gz --dev dev.jsonl.gz --output mixed.ngram --size 12
                                                             each text with the weight that suits development text
  asr lm convert en.arpa en.ngram                            and back: asr lm convert en.ngram en.arpa
  asr lm make train.jsonl.gz --unit letter --order 7 --output letters.arpa
  asr lm train books.txt --out en_lstm                       an LSTM instead; the model comes into en_lstm/model
  asr lm make train.tsv --unit letter --for my_model/model --output letters.arpa
  asr lm perplexity en.arpa test.txt                         and: asr lm perplexity en_lstm/model test.txt
  asr lm generate en_lstm/model "once upon a" --count 5
"""


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
    make.add_argument("texts", nargs="+", metavar="TEXT", help=options.TEXTS)
    options.add_ngrams(make)
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
    options.add_pruning(make)
    options.add_bits(make)
    options.add_recognizer(make)
    make.set_defaults(run=_make)

    mix = actions.add_parser(
        "mix", help="one model of several texts, each with the weight that suits", description=run_mix.__doc__
    )
    add_mix(mix)

    convert = actions.add_parser(
        "convert", help="write n-grams in the compact format, or in the ARPA format", description=_convert.__doc__
    )
    convert.add_argument("model", metavar="LM", help="file of n-grams in the one format or the other")
    convert.add_argument("output", metavar="FILE", help=options.OUTPUT)
    options.add_bits(convert)
    convert.set_defaults(run=_convert)

    actions.add_parser("train", help="train an LSTM on text (see `asr lm train --help`)", add_help=False)

    perplexity = actions.add_parser(
        "perplexity", help="measure how well a model predicts texts", description=_perplexity.__doc__
    )
    perplexity.add_argument("model", metavar="LM", help=options.MODEL)
    perplexity.add_argument("texts", nargs="+", metavar="TEXT", help=options.TEXTS)
    perplexity.add_argument(
        "--unit", choices=("word", "letter"), help="what its n-grams are of (default: letter where it has <space>)"
    )
    options.add_recognizer(perplexity)
    perplexity.set_defaults(run=_perplexity)

    generate = actions.add_parser("generate", help="go on with a text as a model would", description=_generate.__doc__)
    generate.add_argument("model", metavar="LM", help=options.MODEL)
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


def _make(parsed: argparse.Namespace) -> int:
    """Estimate an n-gram model by interpolated modified Kneser-Ney and write it to a file.

    Texts are compared as everywhere here: in small letters and without punctuation, unless the recogniser that it is
    for writes otherwise. A line is a sentence.
    """
    from asr.language.kneser_ney import estimate
    from asr.language.models import write
    from asr.language.sentences import files

    output, bits = options.output_of(parsed)
    options.check_not_read(output, files(parsed.texts))
    with options.progress(parsed.texts, options.tokens_of(parsed)) as (read, say):
        made = estimate(
            read(parsed.unit),
            order=parsed.order,
            vocabulary_size=parsed.vocabulary_size,
            prune=parsed.prune,
            prune_entropy=parsed.prune_entropy,
            fits=options.fits(parsed),
            progress=say,
        )
        say("writing")
        write(output, made.words, made.levels, **bits)
    unknown = options.share_unknown(made.num_unknown, made.num_words)
    lines = [f"{made.num_sentences:,} sentences, {made.num_words:,} {parsed.unit}s{unknown}"]
    for order, (level, discounts) in enumerate(zip(made.levels, made.discounts, strict=True), start=1):
        shown = ", ".join(f"{discount:.3f}" for discount in discounts)
        lines.append(f"{len(level.word_G):,} {order}-grams; discounts {shown}")
        if order in made.fallback:
            lines[-1] += " (too little text to estimate them: fixed ones)"
    options.say_written(output, lines, threshold=made.threshold)
    return 0


def _convert(parsed: argparse.Namespace) -> int:
    """Write the n-grams of a file in another format: the compact one, some 3 to 4 bytes an n-gram, or ARPA.

    A model is the same in all that it says, but for what 8 bits lose of its logarithms; 32 bits lose nothing.
    """
    from asr.language.models import write
    from inference import arpa, ngram_file

    output, bits = options.output_of(parsed)
    if ngram_file.is_compact(parsed.model):
        words, tree = ngram_file.read(parsed.model)
        levels = tree.levels()
    else:
        words, levels = arpa.read(parsed.model)
    write(output, words, levels, **bits)
    options.say_written(output)
    return 0


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

    tokens = options.tokens_of(parsed)
    with options.progress(parsed.texts, tokens) as (read, say):
        say("reading the model")
        model = language_models.read(parsed.model)
        unit = parsed.unit or language_models.unit(model)
        if isinstance(model, language_models.LstmModel) and unit != model.unit:
            raise options.LanguageModelError(f"{parsed.model}: is of {model.unit}s; leave --unit {unit} out")
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


def _counts(text: str) -> tuple[int, ...]:
    """The value of an option: whole numbers with commas between them."""
    return tuple(count(number) for number in text.split(","))
