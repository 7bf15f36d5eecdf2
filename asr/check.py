"""What a corpus holds, seen before anything is trained or tested on it: what `asr check` does.

Utterances and hours, letters with their counts, and whatever a model could not use: letters without a label, utterances
too short for their text, recordings that cannot be read.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from asr.alphabet import make_tokens
from asr.letters import Seen, count_pieces, shown, table
from asr.tokens import TokenConfig, Tokens
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.files import write_text
from inference.installed import require
from inference.model import BLANK
from inference.shell import listed

if TYPE_CHECKING:
    from training.manifests import Item

LISTED = 100  # labels that are shown with their counts
RAREST = 10
EXAMPLES = 3


class CheckError(ValueError):
    """A corpus that cannot be looked at; the message says why and what to do."""


def check_data(
    data: str, *, config: TokenConfig | None = None, model: models.Model | None = None, output: str | None = None
) -> int:
    """Print what `data` holds and what of it cannot be used; with `output`, write its alphabet there.

    Args:
        data: A folder, table or manifest.
        config: What labels stand for, with an alphabet if there is one; not beside a model.
        model: A model that is to be tested on it, or trained on from.
        output: File for the alphabet, a label on a line, that `asr train --tokens.alphabet` takes.

    Returns:
        0 if each utterance can be used, 1 if some cannot.

    Raises:
        CheckError: there is no folder for `output`, or no recording can be read.
        inference.installed.MissingPackagesError: what reads corpora is not installed.
        asr.tokens.TokenError: the alphabet is none, or the texts are empty.
        training.manifests.ManifestError: `data` is not what it should be.
    """
    require(("lhotse", "torch"), what="looking through a corpus", extra="train")
    if output is not None and not Path(output).parent.is_dir():
        raise CheckError(f"{Path(output).parent}: no such folder; make it, or give another file to --output")
    from training.manifests import read

    unreadable: list[str] = []
    items = read(data, unreadable=unreadable)
    if not items:
        raise CheckError(f"{data}: no recording could be read; the first: {unreadable[0]}")
    config = config or TokenConfig()
    tokens = make_tokens((item.text for item in items), config) if model is None else Tokens.of(model)
    found = count_pieces(items, tokens)
    print("\n".join(_summary(items, found, tokens)))
    unusable = [*_unknown(items, found, tokens), *_too_short(items, tokens, model)]
    if unusable:
        print("\n".join(unusable))
    if output is not None:
        write_text(output, _file(data, tokens))
        print(f"alphabet: {output}", file=sys.stderr)
    return listed("asr", unreadable, "recordings could not be read") or (1 if unusable else 0)


def _summary(items: Sequence[Item], found: Sequence[Seen], tokens: Tokens) -> list[str]:
    seconds = sorted(item.duration for item in items)
    speakers = len({item.speaker for item in items if item.speaker})
    lines = [
        f"{len(items):,} utterances of {seconds[0]:.1f} to {seconds[-1]:.1f} s, {sum(seconds) / 3600:.2f} h, "
        f"{f'{speakers:,}' if speakers else 'unknown'} speakers"
    ]
    counted = ", ".join(f"{shown(seen.piece)} {seen.times:,}" for seen in found[:LISTED])
    more = f", and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
    unit = "letters" if tokens.unit == "char" else "words"
    lines.append(f"{len(found):,} different {unit}, {tokens.form}: {counted}{more}")
    lines += ["the rarest of them:", table(found[::-1][:RAREST], tokens)]
    heard = {seen.piece for seen in found}
    if unheard := [label for label in tokens.labels[1:] if label not in heard]:
        lines.append(f"labels that no utterance has: {_few([*map(shown, unheard)], LISTED)}")
    if silent := [item.id for item in items if not tokens.pieces(item.text)]:
        lines.append(f"{len(silent):,} utterances without words: {_few(silent)}")
    if doubled := [id for id, times in Counter(item.id for item in items).items() if times > 1]:
        lines.append(f"{len(doubled):,} ids are those of several utterances: {_few(doubled)}")
    return lines


def _unknown(items: Sequence[Item], found: Sequence[Seen], tokens: Tokens) -> list[str]:
    unknown = [seen for seen in found if seen.piece not in tokens.labels]
    if not unknown:
        return []
    spoilt = sum(bool(tokens.unknown(item.text)) for item in items)
    return [f"{spoilt:,} utterances cannot be used, no label for:", table(unknown, tokens)]


def _too_short(items: Sequence[Item], tokens: Tokens, model: models.Model | None) -> list[str]:
    """Utterances with fewer steps than CTC needs for their labels: one each, and one between two that are the same."""
    extractor, subsampling = _steps(model)
    short: list[str] = []
    for item in items:
        pieces = tokens.pieces(item.text)
        needed = len(pieces) + sum(one == other for one, other in pairwise(pieces))
        if needed > -(-extractor.num_frames(round(item.duration * extractor.rate)) // subsampling):
            short.append(f"{item.id} ({len(pieces)} labels in {item.duration:.2f} s)")
    if not short:
        return []
    step_ms = 1000 * subsampling * extractor.shift_seconds
    return [f"{len(short):,} utterances are too short for their labels at a step of {step_ms:g} ms: {_few(short)}"]


def _steps(model: models.Model | None) -> tuple[FeatureExtractor, int]:
    """What makes frames, and how many of them are a step: of the model, or as `asr train` has them by default."""
    if model is not None:
        return model.extractor, model.subsampling
    from encoders.blstm import EncoderConfig

    return FeatureExtractor(FeatureConfig(fbank=FbankConfig())), EncoderConfig().total_subsampling


def _file(data: str, tokens: Tokens) -> str:
    labels = [label for label in tokens.labels if label != BLANK]
    return "\n".join([f"# {len(labels)} labels of {data}", *labels, ""])


def _few(names: Sequence[str], count: int = EXAMPLES) -> str:
    return ", ".join(names[:count]) + (f", and {len(names) - count:,} more" if len(names) > count else "")
