"""Recordings scored as batches give what each gives alone, and one that is bad, long or empty keeps to itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import asr
from asr.task import Recording, Settings, Transcriber
from asr.together import AT_ONCE, BATCH, Together, by_length
from features import audio
from inference.workers import Failure, Here

DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """More than are read at once: parts of the demonstration, one that is long, some that cannot be heard."""
    folder = tmp_path_factory.mktemp("recordings")
    samples_S, rate = audio.read(DEMO)
    rng = np.random.default_rng(0)
    for number in range(AT_ONCE + 3):
        part_S = samples_S[rng.integers(rate) : len(samples_S) - rng.integers(rate)]
        audio.write(folder / f"{number}.wav", part_S[: rng.integers(rate // 4, len(part_S))], rate)
    audio.write(folder / "0.wav", np.tile(samples_S, 12), rate)
    assert audio.info(folder / "0.wav").duration > 33.0, "longer than one window"
    audio.write(folder / "1.wav", samples_S[:0], rate)
    audio.write(folder / "2.wav", samples_S[:10], rate)
    (folder / "3.wav").write_text("no sound")
    (folder / "4.wav").unlink()
    return [Recording(str(folder / f"{n}.wav"), f"{n}.wav", str(n), True) for n in range(AT_ONCE + 3)]


@pytest.mark.parametrize("search", [None, {"beam": 4, "alternatives": 2}], ids=["greedy", "beam"])
def test_together_equals_one_by_one_to_the_last_digit(recordings: list[Recording], search: dict | None) -> None:
    from asr.search import SearchConfig

    chosen = recordings if search is None else recordings[:8]
    settings = Settings(model="digits", formats=("json",), search=SearchConfig(**search) if search else None)
    told: dict[Recording, list[float]] = {}
    results = []
    for pool in (Here(), Together()):
        told.clear()
        outcomes = list(
            pool.run(partial(Transcriber, settings), chosen, lambda one, s: told.setdefault(one, []).append(s))
        )
        assert len(outcomes) == len(chosen)
        results.append(({outcome.item: outcome.result for outcome in outcomes}, {k: v[-1] for k, v in told.items()}))
    assert results[1] == results[0]
    failures = [item.source for item, result in results[1][0].items() if isinstance(result, Failure)]
    assert sorted(failures) == ["3.wav", "4.wav"]
    assert sum('"text"' in result.printed for result in results[1][0].values() if not isinstance(result, Failure)) > 4


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
