"""Word error rate against latency: models on one test set, at several chunks and look-aheads.

    python -m benchmarks.wer_by_latency TEST.jsonl.gz NAME=MODEL [NAME=MODEL ...] [--plot FILE.png]

Prints a Markdown table. Scores of these windows are those of a stream of the same chunk and look-ahead, without
endpoints. The plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from asr.evaluate import evaluate
from asr.recognizer import Recognizer
from asr.scoring import WHOLE, Window

LATENCIES_MS = [None, (1600, 800), (800, 400), (400, 200), (200, 100), (100, 50)]


def main() -> None:
    """Evaluate every model at every latency."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--plot", metavar="FILE.png")
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {}
    for name, _, model in (given.partition("=") for given in options.models):
        recognizer = Recognizer.open(model)
        rates[name] = []
        for latency in LATENCIES_MS:
            window = WHOLE if latency is None else Window(*(ms / 1000 for ms in latency))
            report, failed = evaluate(recognizer, options.test, window=window)
            if failed:
                sys.exit(f"{options.test}: {len(failed)} recordings cannot be read, the first: {failed[0]}")
            rates[name].append(100 * report.words.rate)
            print(f"{name} {latency}: {report.words}", file=sys.stderr)
    print("| chunk + look-ahead, ms | " + " | ".join(rates) + " |")
    print("| --- |" + " ---: |" * len(rates))
    for place, latency in enumerate(LATENCIES_MS):
        cells = " | ".join(f"{values[place]:.2f} %" for values in rates.values())
        print(f"| {'full context' if latency is None else '{} + {}'.format(*latency)} | {cells} |")
    if options.plot:
        plot(rates, Path(options.plot), title=options.title)


def plot(rates: dict[str, list[float]], path: Path, *, title: str) -> None:
    """Lines over the algorithmic latency N_c + N_r on a logarithmic scale, full context as a dashed level."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    milliseconds = [sum(latency) for latency in LATENCIES_MS if latency]
    for name, (whole, *values) in rates.items():
        (line,) = axes.plot(milliseconds, values, marker="o", label=name)
        axes.axhline(whole, color=line.get_color(), linestyle="--", linewidth=1, label=f"{name}, full context")
    axes.set_xscale("log", base=2)
    axes.set_xticks(milliseconds, [str(ms) for ms in milliseconds])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("chunk + look-ahead (2 : 1), ms")
    axes.set_ylabel("word error rate, %")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
