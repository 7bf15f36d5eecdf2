"""What hot words do to their own words, to the words beside them, and to the time of the search.

    python benchmarks/hot_words.py MODEL --dev DEV --test TEST --words FILE --others FILE [--lm FILE]

DEV and TEST are manifests. The file of --words has a word a line: what a user would expect to be said; --others fills
the list up to 100 and to 1,000 with words that are not said. The boost is the one with the fewest word errors on DEV,
with a hundred words; TEST is searched with that one. An error beside them is one of a word that is not hot, or an
insertion of any word. Times are of whole passes over the scores of TEST, in turns; ratios are medians of pairs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from typing import NamedTuple

from asr.recognizer import Recognizer
from asr.report import Report
from asr.search import Search, SearchConfig
from asr.text import normalize
from asr.tune import Scored, report, score
from inference.progress import with_bar
from training.manifests import read

BOOSTS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
LISTS = (0, 100, 1000)
ROUNDS = 5


class Errors(NamedTuple):
    """Words that are hot, how many of them are wrong, and the same of all others."""

    hot: int
    hot_wrong: int
    others: int
    others_wrong: int

    def __str__(self) -> str:
        hot = f"{self.hot_wrong} ({100 * self.hot_wrong / max(1, self.hot):.1f} %)"
        return f"{hot} | {self.others_wrong} ({100 * self.others_wrong / max(1, self.others):.2f} %)"


def main() -> None:
    """Choose the boost, count the errors, take the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--dev", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--others", required=True)
    parser.add_argument("--lm")
    parser.add_argument("--beam", type=int, default=32)
    options = parser.parse_args()
    recognizer = Recognizer.open(options.model)
    words, others = (lines(recognizer, path) for path in (options.words, options.others))
    lists = {size: [*words, *(word for word in others if word not in words)][:size] for size in LISTS}
    assert all(len(lists[size]) == size for size in LISTS), "--others has too few words"
    config = SearchConfig(beam=options.beam, lm=options.lm)

    def search(size: int, boost: float) -> Search:
        return Search(recognizer.tokens, replace(config, hot_words=dict.fromkeys(lists[size], boost)))

    dev, test = (list(with_bar(score(recognizer, read(part)), part)) for part in (options.dev, options.test))
    wrong = {boost: report(recognizer, dev, search(100, boost)).words.errors for boost in BOOSTS}
    boost = min(wrong, key=wrong.get)
    print(f"development: word errors by boost {wrong}; chosen: {boost:g}\n")
    searches = {size: search(size, boost) for size in LISTS}
    times = timed(recognizer, test, searches)
    print(f"{len(words)} words that may be said; boost {boost:g}\n")
    print("| hot words | wrong of the hot | wrong beside them | time, ratio to none |\n| ---: | ---: | ---: | ---: |")
    for size in LISTS:
        found = counted(report(recognizer, test, searches[size]), set(words))
        ratios = [one / none for one, none in zip(times[size], times[0], strict=True)]
        print(f"| {size} | {found} | {statistics.median(ratios):.3f} |")


def lines(recognizer: Recognizer, path: str) -> list[str]:
    """Distinct words of a file that the model can write."""
    with open(path, encoding="utf-8") as file:
        words = dict.fromkeys(normalize(line) for line in file)
    return [word for word in words if word and not recognizer.tokens.unknown(word)]


def counted(found: Report, hot: set[str]) -> Errors:
    """Errors of hot words and of all others."""
    hots = others = hots_wrong = others_wrong = 0
    for one in found.utterances:
        for edit in one.word_alignment:
            is_hot = edit.reference in hot
            wrong = edit.reference != edit.hypothesis
            hots += is_hot
            others += edit.reference is not None and not is_hot
            hots_wrong += is_hot and wrong
            others_wrong += not is_hot and wrong
    return Errors(hots, hots_wrong, others, others_wrong)


def timed(recognizer: Recognizer, scored: list[Scored], searches: dict[int, Search]) -> dict[int, list[float]]:
    """Seconds of each pass with each search, the searches in turns."""
    times: dict[int, list[float]] = {size: [] for size in searches}
    for _ in range(ROUNDS):
        for size, search in searches.items():
            begun = time.perf_counter()
            for one in scored:
                decoder = search.decoder()
                decoder.push(one.scores_TV)
                decoder.flush()
            times[size].append(time.perf_counter() - begun)
    return times


if __name__ == "__main__":
    main()
