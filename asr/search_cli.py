"""Options of `asr` for how words are looked for, and for what is given beside the best text."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from inference.shell import count

if TYPE_CHECKING:
    from asr.search import SearchConfig

NONE = "none"
# Options of the search by the settings of `asr.search.SearchConfig`, which has the defaults.
SEARCH = (
    "beam",
    "prune",
    "lm_weight",
    "word_bonus",
    "unknown_bonus",
    "prior_weight",
    "alternatives",
    "lexicon",
    "decoder",
)


def add_search(parser: argparse.ArgumentParser) -> None:
    """Options of how words are looked for."""
    search = parser.add_argument_group(
        "search",
        "what is known beside the sound; a language model, a lexicon or hot words use a beam. What a model carries, a "
        "language model with its weights and lexicon, is used where no other language model is given",
    )
    search.add_argument("--beam", type=count, metavar="N", help="hypotheses kept; 0 is greedy (default: 0, or 32)")
    search.add_argument(
        "--prune",
        type=float,
        metavar="NATS",
        help="... and labels so much less probable than the best one are not looked at; fewer are faster (default: 10)",
    )
    search.add_argument(
        "--lm",
        action="append",
        metavar="LM[=W]",
        help="language model over words or letters, a file of `asr lm make` (n-grams, ARPA or compact) or a directory "
        "of `asr lm train` (LSTM), if need be with its weight; may be given several times, and their log probabilities "
        "add up; none: without the one that the model carries",
    )
    search.add_argument(
        "--lm-weight",
        type=float,
        metavar="W",
        help="how much it counts; those without their own share it (default: 0.8)",
    )
    search.add_argument("--word-bonus", type=float, metavar="NATS", help="gain of each word beside it (default: 1)")
    search.add_argument(
        "--unknown-bonus",
        type=float,
        metavar="NATS",
        help="... of one it does not know; -1000: none (default: -5)",
    )
    search.add_argument(
        "--prior-weight",
        type=float,
        metavar="W",
        help="share of the labels' log priors taken off their scores, of a model that carries these; "
        "`asr tune --write` stores and weighs them (default: 0)",
    )
    _add_lexicon(search)
    search.add_argument(
        "--hot-word",
        action="append",
        metavar="TEXT[=NATS]",
        help="word or phrase to be expected; may be given several times",
    )
    search.add_argument("--hot-words", metavar="FILE", help="the same from a file, a line each, NATS behind a tab")
    search.add_argument("--boost", type=float, metavar="NATS", help="gain of those without their own (default: 3)")


def search_config(parsed: argparse.Namespace) -> SearchConfig:
    """What the options say.

    Raises:
        ValueError: they do not go together.
    """
    from asr import carried
    from asr.flashlight import LACKING
    from asr.search import BOOST, SearchConfig, hot_word, language_model, read_hot_words
    from asr.shipped import find

    if parsed.lm is not None and NONE in parsed.lm:
        if len(parsed.lm) > 1:
            raise ValueError("--lm none is without any; leave it out, or the others")
        models = {}
    else:
        models = dict(language_model(text) for text in parsed.lm or ())
    if parsed.beam == 0 and (models or parsed.lexicon or parsed.hot_word or parsed.hot_words):
        raise ValueError("--beam 0 is greedy; language models, lexicons and hot words need a beam: leave one out")
    for name in LACKING:
        if parsed.decoder == "flashlight" and getattr(parsed, name) is not None:
            raise ValueError(
                f"--{name.replace('_', '-')} goes with the decoder beam; flashlight has none: leave it out"
            )
    if parsed.boost is not None and not (parsed.hot_word or parsed.hot_words):
        raise ValueError("--boost goes with --hot-word or --hot-words; add one, or leave it out")
    boost = BOOST if parsed.boost is None else parsed.boost
    hot_words = {} if parsed.hot_words is None else read_hot_words(parsed.hot_words, boost=boost)
    hot_words.update(hot_word(text, boost=boost) for text in parsed.hot_word or ())
    given = {name: getattr(parsed, name) for name in SEARCH if getattr(parsed, name, None) is not None}
    if parsed.lm is not None:
        # One that has no weight of its own has the one of --lm-weight.
        given["lm"] = next(iter(models), None) if list(models.values()) in ([], [None]) else models
    if parsed.lexicon == NONE:
        given["lexicon"] = None
    config = SearchConfig(**carried.merged(carried.of_directory(find(parsed.model)), given), hot_words=hot_words)
    for name in ("lm_weight", "word_bonus", "unknown_bonus"):
        if config.lm is None and getattr(parsed, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} goes with --lm FILE; add that, or leave it out")
    for name in ("prune", "prior_weight"):
        if getattr(parsed, name) is not None and not config.width:
            raise ValueError(f"--{name.replace('_', '-')} goes with a beam; add --beam N, or leave it out")
    return config


def _add_lexicon(search: argparse._ArgumentGroup) -> None:
    search.add_argument(
        "--lexicon",
        metavar="FILE",
        help="write these words and no others: a word a line, if need be with its spelling in the model's labels, as "
        "the dictionaries of Kaldi and CMU have it; none: without the one that the model carries",
    )
    search.add_argument(
        "--decoder",
        choices=("beam", "flashlight"),
        help="flashlight: flashlight-text's, for KenLM's binary files; takes --lexicon and no hot words, and hears "
        "each utterance to its end (default: beam)",
    )


def add_alternatives(parser: argparse.ArgumentParser) -> None:
    """`--alternatives`."""
    parser.add_argument(
        "--alternatives",
        type=count,
        metavar="N",
        help="in json, up to N texts that each stretch between pauses may be, with scores and shares; uses a beam",
    )
