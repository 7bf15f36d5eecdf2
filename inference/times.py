"""Times as people write them. Light, since every command line reads them."""

from __future__ import annotations

import math


def seconds(text: str) -> float:
    """A time such as `400ms` or `0.4s`, in seconds. Without a unit it is refused: 400 is too easily meant for 0.4.

    Raises:
        ValueError: it is not a time.
    """
    number, unit = (text[:-2], 0.001) if text.endswith("ms") else (text[:-1], 1.0) if text.endswith("s") else ("", 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{text!r} is not a time; write 400ms or 0.4s")
    return value


def clock(milliseconds: int, *, point: str = ",") -> str:
    """A time as subtitles have it, such as `01:02:03,456`; WebVTT has a full stop before the milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
