"""Times on command lines: with a unit, or refused."""

from __future__ import annotations

import pytest

from inference.times import clock, seconds


def test_times_as_people_write_them() -> None:
    for text, value in {"400ms": 0.4, "0.4s": 0.4, "1e-1s": 0.1, "0s": 0, "2s": 2, ".5ms": 0.0005}.items():
        assert seconds(text) == pytest.approx(value), text
    for text in (
        "",
        "s",
        "ms",
        "fast",
        "-1",
        "-1ms",
        "nan",
        "inf",
        "infs",
        "1e400",
        "400 m",
        "400",
        "0.4",
        "0",
        "4min",
        "0,4",
    ):
        with pytest.raises(ValueError, match=rf"^'{text}' is not a time; write 400ms or 0\.4s"):
            seconds(text)


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0, "00:00:00,000"), (59_999, "00:00:59,999"), (3_723_004, "01:02:03,004"), (360_000_000, "100:00:00,000")],
)
def test_times_of_subtitles(milliseconds: int, shown: str) -> None:
    assert clock(milliseconds) == shown
    assert clock(milliseconds, point=".") == shown.replace(",", ".")
