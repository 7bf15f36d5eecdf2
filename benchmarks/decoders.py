"""Searches of the same real scores in one run: ours and, where it is installed, those of flashlight-text.

    OMP_NUM_THREADS=1 python -m benchmarks.decoders MODEL DATA --words FILE [--lm FILE]

DATA is a manifest, table or folder, as `asr evaluate` takes them; of it so much is scored, once, as lasts --seconds.
The model writes letters and spaces. The file of --words is any text: the hot words are the first that it has of four
letters or more, most of which nobody says. All searches take their turn in each round, on one thread; times are
processor time, and a ratio is the median over the rounds.

Without a language model all keep --beam hypotheses and sum over the paths of each. Ours looks in a frame at labels
within 10 nats of the best, and once at all. flashlight-text looks at all labels, once with hypotheses within 10 nats
of the best, and once with the threshold of 50 that torchaudio gives it. Lexicon and language model: the words of the
language model, all with --beam hypotheses; flashlight-text follows the best path of each.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asr.recognizer import Recognizer
from benchmarks.measure import processor_time, ratio, take_turns
from benchmarks.subjects.decoders import bare, with_lm
from inference.arpa import read as read_arpa
from training.manifests import read


def main() -> None:
    """Score, then search in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--words", required=True, help="text to take hot words from")
    parser.add_argument("--lm", type=Path, help="ARPA file of words")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--beam", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    recognizer = Recognizer.open(options.model)
    tokens = recognizer.tokens
    scores_TV, seconds = scored(recognizer, options.data, options.seconds)
    near = (scores_TV >= scores_TV.max(axis=1, keepdims=True) - 10).sum(axis=1).mean()
    frames, labels = scores_TV.shape
    print(f"{seconds:.1f} s, {frames} frames, {labels} labels, {near:.1f} within 10 nats of the best on average\n")
    words = re.findall(r"[^\W\d_]{4,}", Path(options.words).read_text(encoding="utf-8").lower())
    words = [word for word in dict.fromkeys(words) if not tokens.unknown(word)]
    assert len(words) >= 1000, "--words has too few words"
    hot = {size: dict.fromkeys(words[:size], 3.0) for size in (100, 1000)}
    with tempfile.TemporaryDirectory() as folder:
        runs = bare(tokens, scores_TV, hot, options.beam)
        if options.lm is not None:
            lexicon = Path(folder) / "words.txt"
            known = [word for word in read_arpa(options.lm)[0] if not word.startswith("<")]
            lexicon.write_text("\n".join(word for word in known if not tokens.unknown(word)))
            found = with_lm(tokens, scores_TV, hot, options.lm, lexicon, options.beam)
            runs |= {f"LM: {name}": run for name, run in found.items()}
        times = take_turns({name: processor_time(run) for name, run in runs.items()}, options.rounds)
    show(times, seconds)


def scored(recognizer: Recognizer, data: str, seconds: float) -> tuple[np.ndarray, float]:
    """Scores (T,V) of so much of the data, one recording after the other, and its length."""
    pieces, heard = [], 0.0
    for item in read(data):
        scores_TV, length = recognizer.scores(item.path, start=item.start, duration=item.duration)
        pieces.append(scores_TV)
        heard += length
        if heard >= seconds:
            break
    scores_TV = np.concatenate(pieces)
    shown = round(min(1.0, seconds / heard) * len(scores_TV))
    return np.ascontiguousarray(scores_TV[:shown], dtype=np.float32), min(heard, seconds)


def show(times: dict[str, Sequence[float]], seconds: float) -> None:
    """A Markdown table, and what hot words cost."""
    print("| search | median s | real-time factor | times ours |\n| --- | ---: | ---: | ---: |")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"| {name} | {median:.3f} | {median / seconds:.4f} | {ratio(taken, times['saywave']):.2f} |")
    print()
    for of in ("", "LM: "):
        hot = f"{of}saywave, 1000 hot words"
        if hot in times:
            print(f"{hot}: {100 * (ratio(times[hot], times[f'{of}saywave']) - 1):+.1f} % time beside none")


if __name__ == "__main__":
    main()
