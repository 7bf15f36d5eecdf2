"""What hot words do to their own words, to the words beside them, and to the time of the search.

    python -m benchmarks.hot_words MODEL DATA --words FILE --others FILE [--boost NATS] [--lm LM[=W] ...]

DATA is a manifest, table or folder. The file of --words has a word a line: what a user would expect to be said;
--others fills the list up to 100 and to 1,000 with words that are not said. An error beside them is one of a word that
is not hot, or an insertion of any word. Times are processor time of whole passes over the scores, in turns; ratios are
medians of pairs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from typing import NamedTuple

from asr.recognizer import Recognizer
from asr.report import Report
from asr.search import BEAM, BOOST, Search
from asr.search_cli import add_search, search_config
from asr.text import normalize
from asr.tune import Scored, report, score
from inference.progress import with_bar
from training.manifests import read

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
    """Count the errors, take the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--words", required=True, metavar="FILE")
    parser.add_argument("--others", required=True, metavar="FILE")
    add_search(parser)
    options = parser.parse_args()
    recognizer = Recognizer.open(options.model)
    words, others = (lines(recognizer, path) for path in (options.words, options.others))
    lists = {size: [*words, *(word for word in others if word not in words)][:size] for size in LISTS}
    assert all(len(lists[size]) == size for size in LISTS), "--others has too few words"
    boost, options.boost = BOOST if options.boost is None else options.boost, None
    config = search_config(options)
    # Without hot words it searches with a beam, too.
    config = replace(config, beam=config.beam or BEAM)
    searches = {
        size: Search(recognizer.tokens, replace(config, hot_words=dict.fromkeys(words, boost)))
        for size, words in lists.items()
    }
    items = read(options.data)
    scored = list(with_bar(score(recognizer, items), "scores", total=len(items)))
    times = timed(recognizer, scored, searches)
    print(f"{len(words)} words that may be said; boost {boost:g}\n")
    print("| hot words | wrong of the hot | wrong beside them | time, ratio to none |\n| ---: | ---: | ---: | ---: |")
    for size in LISTS:
        found = counted(report(recognizer, scored, searches[size]), set(words))
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
            begun = time.process_time()
            for one in scored:
                decoder = search.decoder()
                decoder.push(one.scores_TV)
                decoder.flush()
            times[size].append(time.process_time() - begun)
    return times


if __name__ == "__main__":
    main()
