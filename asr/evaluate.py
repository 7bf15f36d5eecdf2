"""Errors of a model on recordings with known words: what `asr evaluate` does, through the exported graph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asr
from asr import evaluate_classes
from asr.classifier import Classifier
from asr.confidence.reliability import Reliability, check_plot, judge
from asr.recognizer import Recognizer
from asr.report import Pair, Report, evaluate_pairs
from asr.scoring import WHOLE, Window
from asr.search import Search, SearchConfig
from asr.shipped import find
from asr.transcript import Transcript
from features import audio
from inference import model as models
from inference.files import write_text
from inference.installed import TO_EVALUATE, require
from inference.progress import with_bar
from inference.shell import listed, one_line

if TYPE_CHECKING:
    from training.manifests import Item


class EvaluationError(ValueError):
    """Nothing can be evaluated; the message says why and what to do."""


def evaluate_data(
    data: str,
    *,
    model: str,
    output: str | None = None,
    reliability: str | None = None,
    threads: int = 1,
    search: SearchConfig | None = None,
    stream: Window | None = None,
    form: str | None = None,
) -> int:
    """Evaluate and print a summary; with `output`, write the Markdown report there, and with `reliability` a plot.

    With `stream`, the recordings are heard as live streams of this chunk and look-ahead are, endpoints and all. Of a
    model of labels the figures are accuracy and F1; it takes no search, stream, form or plot.

    Returns:
        0 if every recording could be read, 1 if some could not (they are listed and not counted).
    """
    require(TO_EVALUATE, what="evaluating", extra="train")
    if output is not None and not Path(output).parent.is_dir():
        raise EvaluationError(f"{Path(output).parent}: no such folder; make it, or give another file to --output")
    if reliability is not None:
        check_plot(reliability)
    loaded = models.load(find(model), threads=threads)
    if loaded.head["kind"] == models.CLASS:
        _check_of_words(search=search, reliability=reliability, stream=stream, form=form)
        return evaluate_classes.evaluate_data(data, Classifier(loaded), output=output)
    recognizer = asr.load(model, threads=threads)
    report, failed = evaluate(recognizer, data, search=Search(recognizer.tokens, search), stream=stream, form=form)
    print(report.summary())
    if output is not None:
        write_text(Path(output), report.to_markdown())
        print(f"report: {output}", file=sys.stderr)
    if reliability is not None:
        Reliability(report.judged).plot(reliability)
        print(f"plot: {reliability}", file=sys.stderr)
    return listed("asr", failed, "recordings could not be read and are not counted")


def _check_of_words(
    *, search: SearchConfig | None, reliability: str | None, stream: Window | None, form: str | None
) -> None:
    """Refuse what has no meaning for a model of labels."""
    given = {
        "options of the search go": search not in (None, SearchConfig()),
        "--reliability goes": reliability is not None,
        "--chunk goes": stream is not None,
        "--form goes": form is not None,
    }
    for what, asked in given.items():
        if asked:
            raise EvaluationError(f"{what} with models that write words, and this one gives labels; leave them out")


def evaluate(
    recognizer: Recognizer,
    data: str | Path,
    *,
    search: Search | None = None,
    window: Window = WHOLE,
    stream: Window | None = None,
    form: str | None = None,
) -> tuple[Report, list[str]]:
    """Transcribe every item of a manifest, folder or table and count the errors.

    Args:
        recognizer: The model.
        data: The items.
        search: How the words are looked for in the scores; if not given, with what the model carries, or greedily.
        window: Chunk and look-ahead; see `Recognizer.transcribe`.
        stream: Hear each item as a live stream of this chunk and look-ahead instead, with endpoints.
        form: What the texts are compared in, see `asr.text.normalize`; that of the model if not given.

    Returns:
        The report, and a line for each recording that could not be read.
    """
    from training.manifests import read

    compared = form or recognizer.tokens.form
    pairs: list[Pair] = []
    failed: list[str] = []
    for item in with_bar(read(data, unreadable=failed), "evaluate"):
        try:
            if stream is None:
                transcript = recognizer.transcribe(
                    item.path, start=item.start, duration=item.duration, search=search, window=window
                )
            else:
                transcript = _heard(recognizer, item, stream, search)
        except (ValueError, OSError) as error:
            failed.append(one_line(error))
            continue
        judged = tuple(judge(transcript.words, item.text, compared))
        pairs.append(Pair(item.id, item.speaker or None, item.text, transcript.text, judged))
    if not pairs:
        raise EvaluationError(f"{data}: no recording could be read; the first: {failed[0]}")
    return evaluate_pairs(pairs, form=compared), failed


def _heard(recognizer: Recognizer, item: Item, window: Window, search: Search | None) -> Transcript:
    session = recognizer.stream(chunk=window.chunk, lookahead=window.lookahead, search=search)
    events = []
    for samples_S in audio.blocks(item.path, rate=session.rate, start=item.start, duration=item.duration):
        events += session.push(samples_S)
    seconds = session.seconds
    return session.transcript([*events, *session.flush()], duration=seconds)
