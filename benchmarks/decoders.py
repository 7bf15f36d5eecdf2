"""Searches of the same real scores in one run: ours and, where it is installed, those of flashlight-text.

    OMP_NUM_THREADS=1 python benchmarks/decoders.py MODEL DATA --words FILE [--lm FILE]

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
import importlib.util
import math
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asr.recognizer import Recognizer
from asr.search import Search
from inference.arpa import read as read_arpa
from inference.beam import BeamDecoder
from training.manifests import read

Run = Callable[[], object]


def main() -> None:
    """Score, then search in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--words", required=True, help="text to take hot words from")
    parser.add_argument("--lm", help="ARPA file of words")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--beam", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    recognizer = Recognizer.open(options.model)
    scores_TV, seconds = scored(recognizer, options.data, options.seconds)
    near = (scores_TV >= scores_TV.max(axis=1, keepdims=True) - 10).sum(axis=1).mean()
    frames, labels = scores_TV.shape
    print(f"{seconds:.1f} s, {frames} frames, {labels} labels, {near:.1f} within 10 nats of the best on average\n")
    with tempfile.TemporaryDirectory() as folder:
        runs = ours(recognizer, scores_TV, options, Path(folder)) | others(recognizer, scores_TV, options.beam)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for round in range(options.rounds + 1):
            for name, run in runs.items():
                begun = time.process_time()
                run()
                if round:  # the first warms up
                    times[name].append(time.process_time() - begun)
    print("| search | median s | real-time factor | times beam |\n| --- | ---: | ---: | ---: |")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"| {name} | {median:.3f} | {median / seconds:.4f} | {ratio(taken, times['beam']):.2f} |")
    print()
    for hot, none in (("beam, 1000 hot words", "beam"), ("beam, LM, 1000 hot words", "beam, LM")):
        if hot in times:
            print(f"{hot}: {100 * (ratio(times[hot], times[none]) - 1):+.1f} % time beside {none}")
    for name in times:
        if name.startswith("flashlight, lexicon-free"):
            print(f"beam, all labels: {ratio(times['beam, all labels'], times[name]):.2f} times {name}")


def ratio(ones: list[float], others: list[float]) -> float:
    """The median ratio of times that were taken in the same round."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


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


def ours(recognizer: Recognizer, scores_TV: np.ndarray, options: argparse.Namespace, folder: Path) -> dict[str, Run]:
    """Our searches, and flashlight-text's lexicon decoder as `--decoder flashlight` uses it."""
    words = re.findall(r"[^\W\d_]{4,}", Path(options.words).read_text(encoding="utf-8").lower())
    words = [word for word in dict.fromkeys(words) if not recognizer.tokens.unknown(word)]
    assert len(words) >= 1000, "--words has too few words"
    hot = {size: dict.fromkeys(words[:size], 3.0) for size in (100, 1000)}
    configs = {
        "beam": {},
        "beam, 100 hot words": {"hot_words": hot[100]},
        "beam, 1000 hot words": {"hot_words": hot[1000]},
    }
    if options.lm is not None:
        known = [word for word in read_arpa(options.lm)[0] if not word.startswith("<")]
        (folder / "words.txt").write_text("\n".join(word for word in known if not recognizer.tokens.unknown(word)))
        with_lm = {f"beam, LM{name[4:]}": {**given, "lm": options.lm} for name, given in configs.items()}
        lexicon = {"lm": options.lm, "lexicon": folder / "words.txt"}
        configs |= with_lm | {"beam, LM, lexicon": lexicon}
        if importlib.util.find_spec("flashlight") is not None:
            configs["flashlight, LM, lexicon"] = {**lexicon, "decoder": "flashlight"}

    def run(search: Search) -> None:
        decoder = search.decoder()
        decoder.push(scores_TV)
        decoder.flush()

    searches = {name: recognizer.search(beam=options.beam, **given) for name, given in configs.items()}
    runs: dict[str, Run] = {name: lambda search=search: run(search) for name, search in searches.items()}
    runs["beam, all labels"] = lambda: BeamDecoder(beam=options.beam, prune=math.inf).push(scores_TV)
    return runs


def others(recognizer: Recognizer, scores_TV: np.ndarray, beam: int) -> dict[str, Run]:
    """The lexicon-free search of flashlight-text, if that is installed."""
    runs: dict[str, Run] = {}
    space = recognizer.tokens.space
    if importlib.util.find_spec("flashlight") is None:
        print("flashlight-text is not installed: pip install 'saywave[lm]'\n")
    else:
        from flashlight.lib.text import decoder as flashlight

        for threshold in (10.0, 50.0):
            options = flashlight.LexiconFreeDecoderOptions(
                beam, scores_TV.shape[1], threshold, 0.0, 0.0, True, flashlight.CriterionType.CTC
            )

            def run(options: object = options) -> object:
                decoder = flashlight.LexiconFreeDecoder(options, flashlight.ZeroLM(), space, 0, [])
                return decoder.decode(scores_TV.ctypes.data, *scores_TV.shape)

            runs[f"flashlight, lexicon-free, threshold {threshold:g}"] = run
    return runs


if __name__ == "__main__":
    main()
