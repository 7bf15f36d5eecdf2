"""Times on command lines: with a unit, or refused."""

from __future__ import annotations

import pytest

from inference.times import seconds


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
