"""The command `asr lm mix`: one file of n-grams from several texts, weighted by what development text says."""

from __future__ import annotations

import argparse

from asr.language import options
from inference.shell import count


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "texts", nargs="+", metavar="TEXT", help=f"two or more, each a model of its own: {options.TEXTS}"
    )
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--dev", metavar="TEXT", help="development text, which the weights make likeliest")
    weights.add_argument(
        "--weights", type=_weights, metavar="W,W,...", help="the weights themselves, one for each TEXT"
    )
    options.add_ngrams(parser)
    parser.add_argument(
        "--vocabulary-size",
        type=count,
        metavar="N",
        help="keep the N most frequent words, where a short text counts as much as a long one; others become <unk> "
        "(default: every word is kept)",
    )
    options.add_pruning(parser)
    options.add_bits(parser)
    options.add_recognizer(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Estimate a model of each text and write the weighted mean of them, as one file of n-grams.

    What is like the development text gets the weight that it deserves, however short it is beside the others; counted
    together by `asr lm make`, it would drown.
    """
    from asr.language.mixture import mix
    from asr.language.models import write
    from asr.language.sentences import files, read

    output, bits = options.output_of(parsed)
    texts = files(parsed.texts)
    dev = [] if parsed.dev is None else files([parsed.dev])
    options.check_not_read(output, [*texts, *dev])
    for path in dev:
        if options.is_among(path, texts):
            raise options.LanguageModelError(
                f"{path}: is one of the texts, whose weight would be 1; give another --dev"
            )
    tokens = options.tokens_of(parsed)
    with options.progress(parsed.texts, tokens) as (of, say):
        made = mix(
            [of(parsed.unit, [text]) for text in parsed.texts],
            dev=None if parsed.dev is None else read(dev, parsed.unit, tokens=tokens),
            weights=parsed.weights,
            order=parsed.order,
            vocabulary_size=parsed.vocabulary_size,
            prune_entropy=parsed.prune_entropy,
            fits=options.fits(parsed),
            progress=say,
        )
        say("writing")
        write(output, made.words, made.levels, **bits)
    lines = []
    for text, part in zip(parsed.texts, made.parts, strict=True):
        line = f"{text}: weight {part.weight:.4f}; {part.num_sentences:,} sentences, {part.num_words:,} {parsed.unit}s"
        line += options.share_unknown(part.num_unknown, part.num_words)
        lines.append(line if part.perplexity is None else f"{line}; alone perplexity {part.perplexity:.2f}")
    if made.perplexity is not None:
        lines.append(f"mixed: perplexity {made.perplexity:.2f} of {parsed.dev}, without unknown {parsed.unit}s")
    lines.append(", ".join(f"{len(level.word_G):,} {n}-grams" for n, level in enumerate(made.levels, start=1)))
    options.say_written(output, lines, threshold=made.threshold)
    return 0


def _weights(text: str) -> tuple[float, ...]:
    """The value of an option: numbers with commas between them."""
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers with commas between them, such as 3,1") from None
