"""Recordings scored as batches give what each gives alone, and one that is bad, long or empty keeps to itself."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import asr
from asr.task import Recording, Settings, Transcriber
from asr.together import AT_ONCE, BATCH, InBatches, ahead, by_length
from asr.transcribe import transcribe_files
from features import audio
from inference.scorer import Scorer
from inference.workers import Failure, Here, Processes

DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """More than two groups: parts of the demonstration, two that are long, some that cannot be heard."""
    folder = tmp_path_factory.mktemp("recordings")
    samples_S, rate = audio.read(DEMO)
    rng = np.random.default_rng(0)
    for number in range(2 * AT_ONCE + 3):
        part_S = samples_S[rng.integers(rate) : len(samples_S) - rng.integers(rate)]
        audio.write(folder / f"{number}.wav", part_S[: rng.integers(rate // 4, len(part_S))], rate)
    audio.write(folder / "0.wav", np.tile(samples_S, 12), rate)
    assert audio.info(folder / "0.wav").duration > 33.0, "longer than one window"
    audio.write(folder / "20.wav", np.tile(samples_S, 12)[: round(30.005 * rate)], rate)
    audio.write(folder / "1.wav", samples_S[:0], rate)
    audio.write(folder / "2.wav", samples_S[:10], rate)
    (folder / "3.wav").write_text("no sound")
    (folder / "4.wav").unlink()
    return [Recording(str(folder / f"{n}.wav"), f"{n}.wav", str(n), True) for n in range(2 * AT_ONCE + 3)]


@pytest.mark.parametrize("search", [None, {"beam": 4, "alternatives": 2}], ids=["greedy", "beam"])
def test_together_equals_one_by_one_to_the_last_digit(recordings: list[Recording], search: dict | None) -> None:
    from asr.search import SearchConfig

    chosen = recordings if search is None else recordings[:8]
    settings = Settings(model="digits", formats=("json",), search=SearchConfig(**search) if search else None)
    results = []
    for pool in (Here(), InBatches(), Processes(2, program="asr", at_once=5)):
        told: dict[Recording, float] = {}
        outcomes = list(pool.run(partial(Transcriber, settings), chosen, told.__setitem__))
        assert len(outcomes) == len(chosen)
        results.append(({outcome.item: outcome.result for outcome in outcomes}, told))
    assert results[2][0] == results[1][0] == results[0][0]
    assert results[1][1] == pytest.approx(results[0][1])
    failures = [item.source for item, result in results[1][0].items() if isinstance(result, Failure)]
    assert sorted(failures) == ["3.wav", "4.wav"]
    assert sum('"text"' in result.printed for result in results[1][0].values() if not isinstance(result, Failure)) > 4


def test_seconds_are_told_of_what_has_been_heard_not_of_what_has_been_read(recordings: list[Recording]) -> None:
    told: dict[Recording, float] = {}
    outcomes = InBatches().run(partial(Transcriber, Settings(model="digits")), recordings[6:10], told.__setitem__)
    seen = 0
    for outcome in outcomes:
        seen += 1
        assert outcome.item in told
        assert len(told) == seen
    assert seen == 4


def test_where_a_batch_needs_too_much_memory_each_is_scored_alone(recordings: list[Recording], monkeypatch) -> None:
    begin, chosen = partial(Transcriber, Settings(model="digits")), recordings[6:10]
    expected = {one.item: one.result for one in Here().run(begin, chosen, lambda *_: None)}

    def together(*_):
        raise MemoryError

    monkeypatch.setattr(Scorer, "together", together)
    assert {one.item: one.result for one in InBatches().run(begin, chosen, lambda *_: None)} == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_what_comes_through_pipes_is_heard_one_after_the_other(tmp_path: Path, capsys) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    seen = []

    def feed() -> None:
        """Sound for the second pipe when the text of the first is there."""
        first.write_bytes(DEMO.read_bytes())
        end = time.monotonic() + 20
        while not (written := list(tmp_path.glob("first.txt"))) and time.monotonic() < end:
            time.sleep(0.01)
        seen.extend(written)
        second.write_bytes(DEMO.read_bytes())

    for pipe in (first, second):
        os.mkfifo(pipe)
    feeding = threading.Thread(target=feed, daemon=True)
    feeding.start()
    code = transcribe_files([str(first), str(second)], Settings(model="digits", output=str(tmp_path)))
    feeding.join()
    assert code == 0
    assert seen == [tmp_path / "first.txt"]
    assert (tmp_path / "second.txt").read_text() == seen[0].read_text() != ""


@pytest.mark.parametrize("items", [[], [3], list(range(9)), list(range(10)), list(range(40))], ids=len)
def test_items_come_in_order_and_no_more_are_made_ahead_than_asked_for(items: list[int]) -> None:
    made: list[int] = []
    for number, (item, result) in enumerate(ahead(lambda item: made.append(item) or -item, items, count=9)):
        assert (item, result) == (items[number], -item)
        assert len(made) <= number + 10
    assert made == items


def test_a_mistake_in_the_thread_is_raised_and_who_closes_early_leaves_no_thread() -> None:
    threads = threading.active_count()
    found = ahead(lambda item: 1 // (5 - item), range(40), count=3)
    with pytest.raises(ZeroDivisionError):
        list(found)
    early = ahead(abs, range(40), count=3)
    assert next(early) == (0, 0)
    assert threading.active_count() == threads + 1
    early.close()
    assert threading.active_count() == threads


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_batches_hold_each_item_once_and_are_no_larger_than_allowed(lengths: list[int], most: int) -> None:
    batches = by_length(lengths, most=most)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[number] for number in batch)
        assert 0 < len(batch) <= BATCH
        assert len(batch) == 1 or padded <= most
    ends = [lengths[number] for batch in batches for number in batch]
    assert ends == sorted(ends)
