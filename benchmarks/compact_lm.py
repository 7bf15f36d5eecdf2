"""An n-gram model as ARPA and as a compact file: size, time until it can be asked, and what eight bits cost.

    python -m benchmarks.compact_lm books-en.txt.gz
    python -m benchmarks.compact_lm books-en.txt.gz --order 4 --words 60000

Estimates a model of a text, of which every fortieth sentence is kept out, and prints a Markdown table. Times are of the
processor, the median of rounds in each of which every file was read once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from asr.language.kneser_ney import estimate
from asr.language.sentences import read
from benchmarks.measure import processor_time, take_turns
from inference import arpa, ngram_file
from inference.ngram import NgramModel

KEPT_OUT = 40
NAMES = {"ARPA": "arpa", "compact, 32 bits": "ngram", "compact, 8 bits": "ngram"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--words", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sentences = list(read([options.text]))
    kept_out = sentences[::KEPT_OUT]
    del sentences[::KEPT_OUT]
    model = estimate(sentences, order=options.order, vocabulary_size=options.words)
    ngrams = sum(len(level.word_G) for level in model.levels)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.{kind}" for name, kind in NAMES.items()}
        arpa.write(paths["ARPA"], model.words, model.levels)
        ngram_file.write(paths["compact, 32 bits"], model.words, model.levels, bits=32)
        ngram_file.write(paths["compact, 8 bits"], model.words, model.levels)
        gauges = {name: processor_time(lambda path=path: NgramModel.read(path)) for name, path in paths.items()}
        seconds = take_turns(gauges, options.rounds)
        print(f"{ngrams:,} n-grams; perplexity on {len(kept_out):,} sentences, unknown words among it\n")
        print("| file | MB | bytes an n-gram | read in | perplexity |\n| --- | ---: | ---: | ---: | ---: |")
        for name, path in paths.items():
            size = path.stat().st_size
            perplexity = NgramModel.read(path).perplexity(kept_out).including_unknown
            read_in = f"{1000 * statistics.median(seconds[name]):,.0f} ms"
            print(f"| {name} | {size / 1e6:.1f} | {size / ngrams:.2f} | {read_in} | {perplexity:.2f} |", flush=True)


if __name__ == "__main__":
    main()
