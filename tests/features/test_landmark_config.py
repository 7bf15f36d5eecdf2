"""The definition of landmark features: back from YAML, and refused by its key."""

from __future__ import annotations

import runpy
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from features.landmarks import HAND, PERSON
from features.normalize import (
    LEFT_HAND_GROUP,
    LandmarkConfig,
    LandmarkExtractor,
    from_dict,
    to_dict,
)

PLAIN, SMALL, fitted, person = itemgetter("PLAIN", "SMALL", "fitted", "person")(
    runpy.run_path(str(Path(__file__).with_name("plain_landmarks.py")))
)


def test_an_extractor_comes_back_from_yaml() -> None:
    landmarks = person(60)
    for extractor in (LandmarkExtractor(SMALL), fitted(LandmarkConfig(dimensions=3, repair_ms=120.0), [landmarks])):
        stored = to_dict(extractor)
        again = from_dict(yaml.safe_load(yaml.safe_dump(stored)))
        assert again.config == extractor.config
        assert to_dict(again) == stored
        np.testing.assert_array_equal(again(landmarks), extractor(landmarks))
    assert from_dict({"normalization": "none"}).config == PLAIN


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([], "expected keys"),
        ({"fsp": 25}, "unknown key 'fsp'"),
        ({"fps": "25"}, "features.landmarks.fps: expected float"),
        ({"fps": True}, "expected float"),
        ({"dimensions": 2.0}, "expected int"),
        ({"mask": 1}, "expected bool"),
        ({"groups": {}}, "expected a list of groups"),
        ({"groups": [{"points": ["a"], "centre": ["a"]}]}, r"groups\[0\]: unknown key 'centre'"),
        ({"groups": [{"origin": ["a"]}]}, r"groups\[0\]: points is missing"),
        ({"groups": [{"points": "nose"}]}, r"groups\[0\].points: expected a list of names"),
        ({"groups": [{"points": []}]}, "no points"),
        ({"groups": [{"points": ["a", "a"]}]}, "'a' is named twice"),
        ({"groups": [{"points": ["a"], "unit": ["a", "b", "c"]}]}, "pairs of points"),
        ({"groups": [{"points": ["a"], "unit": ["a", "a"]}]}, "distance of 'a' to itself"),
        ({"groups": []}, "at least one group"),
        ({"fps": 0}, "fps=0"),
        ({"fps": float("nan")}, "fps=nan"),
        ({"dimensions": 4}, "dimensions=4"),
        ({"repair_ms": 2000}, "repair_ms=2000"),
        ({"max_hole_ms": -1}, "max_hole_ms=-1"),
        ({"min_presence": 2}, "min_presence=2"),
        ({"normalization": "running"}, "choose one of none, global"),
        ({"mean": [0.0]}, "give both or neither"),
        ({"mean": [0.0], "std": [1.0]}, "1 values; the features have 245"),
        ({"mean": [0.0], "std": [1.0], "normalization": "none"}, "takes no mean"),
        ({"mean": "0", "std": [1.0]}, "features.landmarks.mean: expected a list of numbers"),
    ],
)
def test_a_bad_definition_is_refused(stored: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(stored)


def test_normalised_frames_need_statistics() -> None:
    extractor = LandmarkExtractor(LandmarkConfig())
    assert extractor.raw(person(3)).shape == (3, 245)
    assert extractor.mean is None
    for use in (extractor.stream, lambda: extractor(person(3))):
        with pytest.raises(ValueError, match="no statistics yet"):
            use()


def test_names_of_a_hand_are_those_of_its_landmarks() -> None:
    assert tuple(name.removeprefix("left_hand_") for name in LEFT_HAND_GROUP.points) == HAND
    assert LandmarkConfig().points == PERSON
