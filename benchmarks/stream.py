"""A live stream, measured: delays on paced speech with known word ends, errors at pauses, and ten hours on end.

    OMP_NUM_THREADS=1 python -m benchmarks.stream delays MODEL FSDD
    OMP_NUM_THREADS=1 python -m benchmarks.stream pauses MODEL FSDD
    OMP_NUM_THREADS=1 python -m benchmarks.stream hours MODEL FILE [FILE ...]

`delays` paces strings of FSDD's test clips, whose ends are known from how they are joined. `pauses` counts the errors
on such clips with pauses between them, with and without endpoints. `hours` pushes the files over and over, with pauses
between them, as fast as it goes. What a chunk costs is measured by `python -m benchmarks --only streaming`.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from asr.listen import BLOCK_SECONDS, Stopwatch, listen, paced
from asr.recognizer import Recognizer
from asr.stream import SpeechSession
from features import audio
from inference import model as models
from inference.endpoint import NEVER, EndpointRules

LATENCIES = [(0.8, 0.4), (0.4, 0.2), (0.2, 0.1), (0.1, 0.05)]


def delays(model: Path, data: Path, *, count: int) -> None:
    """From the true end of each word to its being shown, on strings of test clips at the pace of a microphone."""
    # Here and below: what only one measurement needs must not weigh on the memory of another.
    from recipes.fsdd.prepare import WORDS, clips
    from recipes.fsdd_connected.prepare import RATE, draw_strings, pieces

    opened = models.load(model)
    found = [clip for clip in clips(data) if clip.part == "test"]
    strings = draw_strings(found, rounds=1, rng=np.random.default_rng(0))
    chosen = [strings[k] for k in np.random.default_rng(1).permutation(len(strings))[:count]]
    print("| chunk + look-ahead, ms | algorithmic, ms | word end to shown, ms: median (95 %) "
          "| speech end to final, ms: median (95 %) | taken back a second | computing | strings |")  # fmt: skip
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for chunk, lookahead in LATENCIES:
        shown, final, revoked, heard, spent, right = [], [], 0, 0.0, 0.0, 0
        for number, string in enumerate(chosen):
            joined = pieces(string, rng=np.random.default_rng([number]))
            # Room for the endpoint after the last word.
            samples_S = np.concatenate([*joined, np.resize(joined[-1], 2 * RATE)])
            ends = np.cumsum([len(piece) for piece in joined])[1:-1:2] / RATE
            session = SpeechSession(opened, rate=RATE, chunk=chunk, lookahead=lookahead)
            clock = Stopwatch()
            blocks = np.array_split(samples_S, max(1, round(len(samples_S) / (BLOCK_SECONDS * RATE))))
            log = listen(paced(blocks, rate=RATE, clock=clock), session, Nobody(), clock=clock)
            revoked, heard, spent = revoked + log.revoked, heard + log.heard, spent + log.compute
            if [word.text for word, _ in log.words] != [WORDS[clip.digit] for clip in string]:
                continue
            right += 1
            shown += [at - end for (_, at), end in zip(log.words, ends, strict=True)]
            final.append(log.finals[-1][1] - ends[-1])
        algorithmic = 1000 * (session.chunk + session.lookahead)
        print(f"| {1000 * chunk:.0f} + {1000 * lookahead:.0f} | {algorithmic:.0f} | {spread(shown)} | {spread(final)} "
              f"| {revoked / heard:.3f} | {100 * spent / heard:.2f} % | {right} of {count} |", flush=True)  # fmt: skip


def pauses(model: Path, data: Path, *, count: int) -> None:
    """Errors on six test clips of one speaker with a second and more of silence around each, by how they are heard."""
    from recipes.fsdd.prepare import WORDS, clips
    from recipes.fsdd_connected.prepare import RATE
    from training.metrics import ErrorCounts, align_tokens

    recognizer = Recognizer.open(model)
    found = [clip for clip in clips(data) if clip.part == "test"]
    speakers = sorted({clip.speaker for clip in found})
    print("| between the clips | heard | WER | substituted, deleted, inserted | words |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name, level in (("digital silence", 0.0), ("hiss at -70 dB", 10 ** (-70 / 20))):
        errors = {"full context": ErrorCounts.zero(), "400 + 200, no endpoints": ErrorCounts.zero(),
                  "400 + 200, endpoints": ErrorCounts.zero()}  # fmt: skip
        for number in range(count):
            rng = np.random.default_rng([7, number])
            own = [clip for clip in found if clip.speaker == speakers[number % len(speakers)]]
            said = [own[k] for k in rng.permutation(len(own))[:6]]
            parts = [silence(rng, level, RATE)]
            for clip in said:
                parts += [audio.read(clip.path, rate=RATE)[0], silence(rng, level, RATE)]
            samples_S = np.concatenate(parts)
            reference = [WORDS[clip.digit] for clip in said]
            heard = {"full context": recognizer.transcribe((samples_S, RATE)).text}
            for how, rules in (("400 + 200, no endpoints", NEVER), ("400 + 200, endpoints", EndpointRules())):
                session = recognizer.stream(rate=RATE, rules=rules)
                events = session.push(samples_S) + session.flush()
                heard[how] = session.transcript(events, duration=len(samples_S) / RATE).text
            for how, text in heard.items():
                errors[how] += align_tokens(reference, text.split())[0]
        for how, found_errors in errors.items():
            kinds = f"{found_errors.substitutions}, {found_errors.deletions}, {found_errors.insertions}"
            print(f"| {name} | {how} | {100 * found_errors.rate:.2f} % | {kinds} | {found_errors.reference} |")


def silence(rng: np.random.Generator, level: float, rate: int) -> np.ndarray:
    """Between one and two and a half seconds of it."""
    return (level * rng.standard_normal(int(rng.uniform(1.0, 2.5) * rate))).astype(np.float32)


def spread(values: list[float]) -> str:
    """Median and 95th percentile of seconds, in milliseconds."""
    if not values:
        return "-"
    median, high = 1000 * np.percentile(values, [50, 95])
    return f"{median:.0f} ({high:.0f})"


class Nobody:
    """A display that nobody looks at."""

    def events(self, events: list) -> None:
        pass

    def level(self, samples_S: np.ndarray, seconds: float) -> None:
        pass

    def warn(self, line: str) -> None:
        print(line, file=sys.stderr)


def hours(model: Path, files: list[str], *, hours: float) -> None:
    """Memory, the cost of a chunk and the times of words, hour by hour."""
    recognizer = models.load(model)
    rate = recognizer.extractor.rate
    recordings = [audio.read(file, rate=rate)[0] for file in files]
    rng = np.random.default_rng(0)
    session = SpeechSession(recognizer)
    block = int(session.chunk * rate)
    wanted, pushed, words, placed_last = int(hours * 3600 * rate), 0, 0, -1
    spent: dict[int, list[float]] = {}
    memory: list[tuple[float, float]] = []
    begun: list[float] = []
    # Where the first word of each file stands in it, by hour.
    places: dict[int, dict[int, list[float]]] = {}
    for number in itertools.count():
        if pushed >= wanted:
            break
        begun.append(pushed / rate)
        pause_S = (1e-4 * rng.standard_normal(int(rng.uniform(2.0, 4.0) * rate))).astype(np.float32)
        for samples_S in (recordings[number % len(recordings)], pause_S):
            for start in range(0, len(samples_S), block):
                piece_S = samples_S[start : start + block]
                started = time.process_time()
                events = session.push(piece_S)
                taken = (time.process_time() - started) / len(piece_S)
                spent.setdefault(int(pushed / rate // 3600), []).append(taken)
                pushed += len(piece_S)
                for event in (event for event in events if event.final):
                    words += len(event.words)
                    file = bisect.bisect(begun, event.start) - 1
                    if file == placed_last:
                        continue
                    placed_last = file
                    hour = int(event.start // 3600)
                    placed = places.setdefault(hour, {}).setdefault(file % len(recordings), [])
                    placed.append(event.start - begun[file])
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory.append((begun[-1], pages * os.sysconf("SC_PAGE_SIZE") / 1e6))
    minute = max(size for at, size in memory if at < 60)
    print(f"{pushed / rate / 3600:.2f} h, {words} words\n")
    print(f"memory: {minute:.1f} MB in the first minute, {max(size for _, size in memory):.1f} MB at most\n")
    print("| hour | share of one core | first words, from where they stood in the first hour: median, largest |")
    print("| ---: | ---: | ---: |")
    for hour, values in spent.items():
        shifts = [
            1000 * abs(place - statistics.median(places[0][file]))
            for file, found in places.get(hour, {}).items()
            for place in found
        ]
        share = 100 * rate * float(np.mean(values))
        print(f"| {hour + 1} | {share:.3f} % | {statistics.median(shifts):.0f} ms, {max(shifts):.0f} ms |")


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    one = what.add_parser("delays")
    one.add_argument("model", type=Path)
    one.add_argument("data", type=Path)
    one.add_argument("--strings", type=int, default=40)
    one = what.add_parser("pauses")
    one.add_argument("model", type=Path)
    one.add_argument("data", type=Path)
    one.add_argument("--strings", type=int, default=60)
    one = what.add_parser("hours")
    one.add_argument("model", type=Path)
    one.add_argument("files", nargs="+")
    one.add_argument("--hours", type=float, default=10.0)
    options = parser.parse_args()
    if options.what == "delays":
        delays(options.model, options.data, count=options.strings)
    elif options.what == "pauses":
        pauses(options.model, options.data, count=options.strings)
    else:
        hours(options.model, options.files, hours=options.hours)


if __name__ == "__main__":
    main()
