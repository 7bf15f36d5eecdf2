"""Confidences and times that hold: what `asr calibrate` does, and training at its end.

A development set is decoded as users' recordings will be. Its words, held against the reference, say which scores
belong to which probability; where their borders are known, they say how far behind the sound the labels come.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import asr
from asr.borders import Border, BordersError, beside
from asr.confidence.calibration import Calibration, Isotonic, Logistic, evidence
from asr.confidence.fitting import AS_IT_IS, MAPS, TIMES, Lag, Sample, choose, choose_times, enough, fewest, held_out
from asr.confidence.reliability import Judged, Reliability, judge
from asr.recognizer import Recognizer
from asr.search import Search, SearchConfig
from asr.shipped import check_own
from asr.tokens import Tokens
from asr.transcript import Word
from inference.ctc import Emission
from inference.installed import TO_EVALUATE, require
from inference.model_changes import store_calibration
from inference.progress import with_bar
from inference.shell import listed, one_line
from training.metrics import align_tokens

if TYPE_CHECKING:
    from training.manifests import Item

LEAST_TIMES = 20  # words with known borders
LEAST_OF_EACH = 5  # right words, and wrong ones


class CalibrationError(ValueError):
    """No calibration can be made of these recordings; the message says why and what to do."""


@dataclass(frozen=True)
class Decoded:
    """One recording of the development set: its words before any calibration, their emissions and labels."""

    item: Item
    words: Sequence[Word]
    groups: Sequence[Sequence[Emission]]
    tokens: Tokens


@dataclass(frozen=True)
class Fitted:
    """A calibration, and lines for people that say how it was chosen and how good it is on held-out words."""

    calibration: Calibration
    report: str

    def note(self, data: str, beam: int, search: SearchConfig | None = None) -> str:
        """What the model card says of it: on what recordings it was fitted, and with which search."""
        config = search or SearchConfig()
        known = [Path(path).name for path in (*config.language_models(), config.lexicon) if path is not None]
        known += [f"{len(config.hot_words)} hot words"] if config.hot_words else []
        how = f"a beam of {beam}" if beam else "the greedy search"
        return f"Fitted on {data}, with {', '.join([how, *known])}:\n\n```text\n{self.report}\n```"


def calibrate_model(model: str, data: str, *, threads: int = 1, search: SearchConfig | None = None) -> int:
    """Fit a calibration on a manifest, folder or table, print what it is worth, and store it with the model.

    Returns:
        0 if every recording could be read, 1 if some could not (they are listed and not used).

    Raises:
        CalibrationError: there is too little to fit on; the model stays as it is.
        inference.model.ModelError: the model comes with the program.
    """
    require(TO_EVALUATE, what="calibrating", extra="train")
    from training.manifests import read

    check_own(model)
    recognizer = asr.load(model, threads=threads)
    failed: list[str] = []
    searching = Search(recognizer.tokens, search)
    found = list(decoded(recognizer, read(data, unreadable=failed), searching, failed))
    try:
        fitted = fit(recognizer, found)
    except CalibrationError as error:
        raise CalibrationError(f"{data}: {error}") from None
    note = fitted.note(Path(data).name, searching.beam, search)
    store_calibration(recognizer.model.directory, fitted.calibration.stored(), note=note)
    print(fitted.report)
    print(f"stored in {recognizer.model.directory / 'config.yaml'}", file=sys.stderr)
    return listed("asr", failed, "recordings could not be read and are not used")


def decoded(recognizer: Recognizer, items: Sequence[Item], search: Search, failed: list[str]) -> Iterator[Decoded]:
    """The items with their words; a line for each that cannot be read goes to `failed`."""
    raw = replace(recognizer.words, calibration=Calibration())
    for item in with_bar(items, "calibrate"):
        try:
            scores_TV, _ = recognizer.scores(item.path, start=item.start, duration=item.duration)
        except (ValueError, OSError) as error:
            failed.append(one_line(error))
            continue
        decoder = search.decoder()
        maker = replace(raw, tokens=search.tokens)
        divided = maker.tokens.divided([*decoder.push(scores_TV), *decoder.flush()])
        yield Decoded(item, maker.made(divided), [group for _, group in divided], maker.tokens)


def fit(recognizer: Recognizer, found: Sequence[Decoded]) -> Fitted:
    """The calibration that goes best with words it was not fitted on.

    Confidences and times are fitted apart; where only one can be, the other stays as it is.

    Raises:
        CalibrationError: there are too few words.
    """
    # Words of one speaker go together, since they are right or wrong for the same reasons, unless there is but one.
    by_speaker = len({one.item.speaker for one in found}) > 1
    groups = [(by_speaker and one.item.speaker) or one.item.id for one in found]
    samples = [sample for one, group in zip(found, groups, strict=True) for sample in _samples(recognizer, one, group)]
    if reason := enough(samples):
        raise CalibrationError(f"{reason}; give more recordings")
    lines = [f"{len(found)} recordings, {len(samples)} recognised words"]
    before = recognizer.words.calibration
    if (fewer := fewest(samples)) < LEAST_OF_EACH:
        # Of right words alone one would learn that every word is right.
        lines.append(
            f"confidence: stays as it is; {fewer} words are wrong, or right, and {LEAST_OF_EACH} of each are needed"
        )
        confidence = before.confidence
    else:
        confidence = _confidence(samples, lines)
    lags = [lag for one, group in zip(found, groups, strict=True) for lag in _lags(recognizer, one, group)]
    times = before.times
    if len(lags) >= LEAST_TIMES and len({lag.group for lag in lags}) > 1:
        way, errors = choose_times(lags)
        times = TIMES[way](lags)
        shown = ", ".join(f"{name} {1000 * s:.0f} and {1000 * e:.0f} ms" for name, (s, e) in errors.items())
        lines.append(f"times: {way}; held-out mean error of starts and ends over {len(lags)} words: {shown}")
    else:
        lines.append(
            f"times: stay as they are; {len(lags)} words have known borders, {LEAST_TIMES} are needed, of two speakers "
            "or recordings at least (NAME.ctm or NAME.TextGrid beside the sound)"
        )
    return Fitted(Calibration(confidence, times), "\n".join(lines))


def _confidence(samples: Sequence[Sample], lines: list[str]) -> Logistic | Isotonic | None:
    """The map of scores to probabilities, or none; what there is to say of it goes to `lines`."""
    chosen, losses = choose(samples)
    before, after = (
        Reliability(tuple(Judged(p, one.right) for p, one in zip(held_out(samples, fit), samples, strict=True)))
        for fit in (MAPS[AS_IT_IS], MAPS[chosen])
    )
    lines += [
        f"confidence: {chosen}; held-out log loss "
        + ", ".join(f"{name} {loss:.4f}" for name, loss in sorted(losses.items(), key=lambda pair: pair[1])),
        f"  before: {before.summary()}",
        f"  after, held out: {after.summary()}",
    ]
    # As they are, scores need no map, not even one that rounds them.
    return None if chosen == AS_IT_IS else MAPS[chosen](samples)


def _samples(recognizer: Recognizer, one: Decoded, group: str) -> list[Sample]:
    judged = judge(one.words, one.item.text, recognizer.tokens.form)
    return [Sample(evidence(own), word.right, group) for own, word in zip(one.groups, judged, strict=True)]


def _lags(recognizer: Recognizer, one: Decoded, group: str) -> list[Lag]:
    """How far behind the true borders the words are that were recognised rightly."""
    borders = _within(beside(one.item.path) or [], one.item)
    said, heard = ([recognizer.tokens.normalize(word.text) for word in words] for words in (borders, one.words))
    lags, k, n = [], 0, 0
    for edit in align_tokens(said, heard)[1]:
        if edit.op == "=":
            labels = [one.tokens.sound(one.groups[n][end].label) for end in (0, -1)]
            start, end = one.words[n].start - borders[k].start, one.words[n].end - borders[k].end
            lags.append(Lag(start, end, *labels, group))
        k += edit.reference is not None
        n += edit.hypothesis is not None
    return lags


def _within(borders: Sequence[Border], item: Item) -> list[Border]:
    """Those of the words that lie in the item, in seconds from its start."""
    end = item.start + item.duration
    return [
        Border(one.text, one.start - item.start, one.end - item.start)
        for one in borders
        if item.start <= one.start and one.end <= end + 0.01
    ]


def calibrate_trained(directory: Path, dev: Sequence[Item]) -> None:
    """Calibrate a model that has just been trained on its development set; where that cannot be, say so."""
    recognizer = Recognizer.open(directory)
    failed: list[str] = []
    found = list(decoded(recognizer, dev, Search(recognizer.tokens), failed))
    for line in failed:
        print(f"not calibrated on: {line}")
    if found and not any(one.words for one in found):
        print(
            "the model recognises no word of the development set: it has learnt too little; train it longer "
            "(--loop.epochs), in smaller batches (--loop.batch_frames) or on more recordings, into another --out"
        )
        return
    try:
        fitted = fit(recognizer, found)
    except (CalibrationError, BordersError) as error:
        # The model is there and works; `asr calibrate` can make up for it.
        print(f"confidences and times are not calibrated: {error}")
        return
    store_calibration(directory, fitted.calibration.stored(), note=fitted.note("the development set", 0))
    print(fitted.report)
