"""One definition for sound and landmarks: what is stored comes back, and the two do not mix."""

from __future__ import annotations

import numpy as np
import pytest

from features.definition import from_dict, to_dict
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from features.normalize import LandmarkConfig, LandmarkExtractor

SOUND = FeatureExtractor(FeatureConfig(fbank=FbankConfig(bins=8), normalization="running"))
BODY = LandmarkExtractor(LandmarkConfig(normalization="none"))
SCALED = LandmarkExtractor(LandmarkConfig(), mean=np.arange(245) / 7, std=np.arange(1, 246) / 3)


@pytest.mark.parametrize("extractor", [SOUND, BODY, SCALED], ids=["sound", "landmarks", "with statistics"])
def test_what_is_stored_comes_back(extractor) -> None:
    again = from_dict(to_dict(extractor))
    assert type(again) is type(extractor)
    assert again.config == extractor.config
    for name in ("mean", "std"):
        ours, theirs = getattr(extractor, name), getattr(again, name)
        assert (ours is None and theirs is None) or ours.tolist() == theirs.tolist()
    assert (again.shift_seconds, again.num_features) == (extractor.shift_seconds, extractor.num_features)


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({"landmarks": {}, "fbank": {}}, "fbank beside landmarks"),
        ({"landmarks": {"colour": 1}}, "colour"),
        ({"landmarks": None}, "landmarks"),
        ({"fbank": {"colour": 1}}, "colour"),
        ("landmarks", "features"),
        (None, "features"),
    ],
)
def test_what_cannot_be_is_named(stored: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        from_dict(stored)
