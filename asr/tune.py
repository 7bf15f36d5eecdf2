"""Settings of a search are chosen on recordings with known words: weights of language models, and bonuses.

The scores of a model do not depend on them, so they are made once and searched again with each setting.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console

from asr import carried
from asr.flashlight import LACKING
from asr.knowledge import Knowledge
from asr.report import Pair, Report, evaluate_pairs
from asr.search import Search, SearchConfig
from asr.shipped import check_own, find
from inference.installed import TO_EVALUATE, require
from inference.model import load
from inference.progress import with_bar
from inference.shell import listed, one_line

if TYPE_CHECKING:
    from asr.recognizer import Recognizer
    from training.manifests import Item

STEPS = {"lm_weight": 0.4, "word_bonus": 1.0, "unknown_bonus": 4.0, "prior_weight": 0.2}
"""How far the first looks to either side go."""

BONUSES = ("word_bonus", "unknown_bonus")
"""Settings that may be negative; weights may not."""

RAREST = 1e-6
"""Prior of a label that hardly ever is probable: how rare it is was not heard enough to know."""

HALVINGS = 2
"""How often a step is halved: settings nearer to each other than a quarter of it differ by chance."""


class TuneError(ValueError):
    """There is nothing to choose, or nothing to choose it on; the message says what to do."""


class Scored(NamedTuple):
    """An utterance with its scores (T,V), as the model gives them."""

    id: str
    speaker: str | None
    reference: str
    scores_TV: np.ndarray


def score(recognizer: Recognizer, items: Sequence[Item], failed: list[str] | None = None) -> Iterator[Scored]:
    """Scores of utterances, in their order; those that cannot be read go to `failed`, each with its reason.

    Raises:
        ValueError, OSError: one of them cannot be read, and `failed` is not given.
    """
    for item in items:
        try:
            scores_TV, _ = recognizer.scores(item.path, start=item.start, duration=item.duration)
        except (ValueError, OSError) as error:
            if failed is None:
                raise
            failed.append(one_line(error))
            continue
        yield Scored(item.id, item.speaker or None, item.text, scores_TV)


def report(recognizer: Recognizer, scored: Sequence[Scored], search: Search) -> Report:
    """What a search makes of scores, compared with what was said."""
    pairs = []
    for one in scored:
        decoder = search.decoder()
        emissions = [*decoder.push(one.scores_TV), *decoder.flush()]
        text = search.tokens.decode(emission.label for emission in emissions)
        pairs.append(Pair(one.id, one.speaker, one.reference, text))
    return evaluate_pairs(pairs, form=recognizer.tokens.form)


def log_priors(scored: Sequence[Scored]) -> tuple[float, ...]:
    """Log priors of all labels: of the mean of their probabilities over all steps (Zeyer et al. 2017, section 4)."""
    steps_TV = np.concatenate([np.exp(one.scores_TV, dtype=np.float64) for one in scored])
    return tuple(np.log(np.maximum(steps_TV.mean(axis=0), RAREST)).tolist())


def tune(
    recognizer: Recognizer,
    scored: Sequence[Scored],
    config: SearchConfig,
    *,
    settings: Sequence[str] | None = None,
    knowledge: Knowledge | None = None,
    progress: Callable[[SearchConfig, Report], None] | None = None,
) -> SearchConfig:
    """The configuration with the fewest word errors on utterances, those of characters where words are even.

    Args:
        recognizer: The model.
        scored: Utterances to choose on; what is reported must be measured on others.
        config: Where to begin, and what is not chosen.
        settings: Which ones are chosen; if not given, the bonuses and the weight, or those of each of several models,
            and the weight of the labels' priors where there are any.
        knowledge: The language models and the lexicon of the configuration, where they have been read before.
        progress: Called with each configuration that was tried and what came of it.
    """
    knowledge = knowledge or Knowledge(recognizer.tokens, config)

    def cost(point: Mapping[str, float]) -> tuple[float, float]:
        if any(value < 0 for name, value in point.items() if name not in BONUSES):
            # What a language model finds unlikely, or what is frequent anyway, would gain by it.
            return math.inf, math.inf
        tried = _moved(config, point)
        found = report(recognizer, scored, Search(recognizer.tokens, tried, knowledge=knowledge))
        if progress is not None:
            progress(tried, found)
        return found.words.errors, found.characters.errors

    start = {name: value for name, value in _chosen(config).items() if settings is None or name in settings}
    return _moved(config, pattern_search(start, moves(start), cost, halvings=HALVINGS))


def moves(settings: Collection[str]) -> list[dict[str, float]]:
    """Each setting alone, and each weight with the bonus: the more a model counts, the shorter are the texts."""
    alone = {name: STEPS.get(name, STEPS["lm_weight"] / 2) for name in settings}
    weights = [name for name in settings if name == "lm_weight" or name not in STEPS]  # of language models
    bonus = {name: alone[name] for name in settings if name == "word_bonus"}
    return [
        *({name: step} for name, step in alone.items()),
        *({name: alone[name]} | bonus for name in weights if bonus),
    ]


def _chosen(config: SearchConfig) -> dict[str, float]:
    """What there is to choose: the settings of `STEPS` or, for the weights of several models, the path of each."""
    lacking = LACKING if config.decoder == "flashlight" else () if config.log_priors else ("prior_weight",)
    settings = {name: float(getattr(config, name)) for name in STEPS if name not in lacking}
    if isinstance(config.lm, Mapping):
        del settings["lm_weight"]
        settings = {str(path): weight for path, weight in config.language_models().items()} | settings
    return settings


def _moved(config: SearchConfig, point: Mapping[str, float]) -> SearchConfig:
    """The configuration with other values of what is chosen."""
    own = {name: value for name, value in point.items() if name in STEPS}
    if not isinstance(config.lm, Mapping):
        return replace(config, **own)
    weights = {str(path): point.get(str(path), weight) for path, weight in config.language_models().items()}
    return replace(config, **own, lm=weights)


def tune_data(data: str, *, model: str, threads: int = 1, search: SearchConfig, write: bool = False) -> int:
    """Choose the settings of a language model on recordings with known words, and print them as options.

    With `write`, the model carries them from then on, with the language model, the lexicon and the priors of its
    labels (`asr.carried`), whose weight is chosen, too.

    Returns:
        0 if every recording could be read, 1 if some could not (they are listed and not used).

    Raises:
        TuneError: there is nothing to choose.
        inference.model.ModelError: the model that would be written comes with the program.
        asr.carried.CarriedError: it cannot be carried.
        ValueError: the data, the model or the language model cannot be used.
    """
    require(TO_EVALUATE, what="tuning", extra="train")
    import asr
    from training.manifests import read

    if search.lm is None:
        raise TuneError("nothing to choose: give --lm FILE, whose weight and bonuses are chosen")
    if write:
        carried.check(search)
        check_own(model)
    recognizer = asr.load(model, threads=threads)
    knowledge = Knowledge(recognizer.tokens, search)
    known = replace(search, prior_weight=0.0) if write else search  # priors to weigh are yet to be found
    Search(recognizer.tokens, known, knowledge=knowledge)  # what does not go with the model is found before the work
    failed: list[str] = []
    items, console = read(data, unreadable=failed), Console(stderr=True)
    scored = list(with_bar(score(recognizer, items, failed), "scores", total=len(items)))
    if not scored:
        raise TuneError(f"{data}: no recording could be read; see asr check {shlex.quote(data)}")
    if write and search.decoder == "beam":
        search = replace(search, log_priors=log_priors(scored))
    greedy = report(recognizer, scored, Search(recognizer.tokens))
    console.print(f"greedy: {_errors(greedy)}", highlight=False)

    tried: dict[str, Report] = {}

    def say(config: SearchConfig, found: Report) -> None:
        tried[options(config)] = found
        console.print(f"{options(config)}: {_errors(found)}", highlight=False, soft_wrap=True)

    chosen = tune(recognizer, scored, search, knowledge=knowledge, progress=say)
    print(options(chosen))
    if write:
        note = _note(Path(data).name, chosen, greedy, tried[options(chosen)])
        stored = carried.store(recognizer.model.directory, chosen, note=note)
        console.print(f"stored in {stored.directory}", highlight=False, soft_wrap=True)
    return listed("asr", failed, "recordings could not be read and are not used")


def remove(model: str) -> int:
    """Take away the search that a model carries, and say where it was.

    Returns:
        0.

    Raises:
        TuneError: it carries none.
        inference.model.ModelError: it comes with the program, or is no whole model.
    """
    check_own(model)
    directory = find(model)
    if load(directory).search is None:
        raise TuneError(f"{directory}: carries no language model; there is nothing to remove")
    stored = carried.store(directory, None)
    Console(stderr=True).print(f"removed from {stored.directory}", highlight=False, soft_wrap=True)
    return 0


def _note(data: str, config: SearchConfig, greedy: Report, best: Report) -> str:
    """What the model card says of a search that the model carries."""
    paths = (*config.language_models(), config.lexicon)
    known = " and ".join(Path(path).name for path in paths if path is not None)
    return (
        f"Carries {known}, with settings chosen by `asr tune` on {data}: {_errors(best)}, where the greedy search has "
        f"{_errors(greedy)}.\n\n```text\n{options(config)}\n```"
    )


def options(config: SearchConfig) -> str:
    """The settings that are chosen as options of the commands that search."""
    return " ".join(
        f"--{name.replace('_', '-')} {value:g}" if name in STEPS else f"--lm {shlex.quote(f'{name}={value:g}')}"
        for name, value in _chosen(config).items()
    )


def _errors(found: Report) -> str:
    return f"WER {100 * found.words.rate:.2f} %, CER {100 * found.characters.rate:.2f} %"


def pattern_search(
    start: Mapping[str, float],
    moves: Sequence[Mapping[str, float]],
    cost: Callable[[Mapping[str, float]], tuple[float, float] | float],
    *,
    halvings: int,
) -> dict[str, float]:
    """Least cost by looking to either side along one move after another (a pattern search; Torczon 1997).

    Where none helps, all moves are halved, so often at most. Each point is looked at once.

    Args:
        start: Values by name.
        moves: What is added to them, or taken away, at first: one value or several together.
        cost: What is to be least; anything that compares.
        halvings: How often moves are halved.
    """
    seen: dict[tuple[float, ...], object] = {}

    def of(point: Mapping[str, float]):
        key = tuple(round(value, 9) for value in point.values())
        if key not in seen:
            seen[key] = cost(point)
        return seen[key]

    best = dict(start)
    of(best)
    for halving in range(halvings + 1):
        better = True
        while better:
            better = False
            for move in moves:
                for scale in (0.5**halving, -(0.5**halving)):
                    point = best | {name: best[name] + scale * step for name, step in move.items()}
                    if of(point) < of(best):
                        best, better = point, True
                        break
    return best
