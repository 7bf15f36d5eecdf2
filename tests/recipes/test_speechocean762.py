"""speechocean762: who trains, who is chosen on, who tests, and that each age is in all parts."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from recipes.corpora import speechocean762
from recipes.speechocean762.prepare import prepare
from training.manifests import ManifestError, read

write_learners = runpy.run_path(str(Path(__file__).with_name("read_corpora.py")))["write_learners"]
SENTENCES = ("Mark likes cake", "We call it bear")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_learners(tmp_path / "speechocean762", SENTENCES)


def test_parts_have_speakers_of_their_own_and_every_age(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus, tmp_path / "out")
    parts = {part: read(tmp_path / "out" / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}
    assert {part: len(items) for part, items in parts.items()} == {"train": 36, "dev": 4, "test": 6}
    speakers = {part: {item.speaker for item in items} for part, items in parts.items()}
    assert len(set.union(*speakers.values())) == sum(map(len, speakers.values())) == 23
    years = speechocean762.ages(corpus, "train")
    young, old = sorted(years[name] for name in speakers["dev"])
    assert 6 <= young <= 15 < old <= 25
    assert (tmp_path / "out" / "train.txt").read_text().splitlines() == 18 * [one.upper() for one in SENTENCES]
    groups = {name: read(tmp_path / "out" / "manifests" / "groups" / f"{name}.jsonl.gz") for name in ("child", "adult")}
    assert {name: len(items) for name, items in groups.items()} == {"child": 4, "adult": 2}
    assert {*groups["child"], *groups["adult"]} == set(parts["test"])


def test_the_seed_chooses(corpus: Path) -> None:
    chosen = {
        frozenset(one.speaker for one in speechocean762.divided(corpus, seed=seed)["dev"]) for seed in (0, 0, 1, 2, 3)
    }
    assert 1 < len(chosen) <= 4


def test_counts_on_the_whole_corpus(shared_data: Path) -> None:
    corpus = shared_data / "speechocean762"
    parts = speechocean762.divided(corpus)
    assert {part: len(found) for part, found in parts.items()} == {"train": 2260, "dev": 240, "test": 2500}
    assert sum(len(one.text.split()) for one in parts["test"]) == 15967
    groups = speechocean762.by_age(parts["dev"], speechocean762.ages(corpus, "train"))
    assert 0.4 < len(groups["child"]) / 240 < 0.6
    texts = [{one.text for one in parts["train"] + parts["dev"]}, {one.text for one in parts["test"]}]
    assert len(texts[0] & texts[1]) == 52  # as its README says


def test_what_is_missing_is_named(corpus: Path) -> None:
    ages = corpus / "train" / "spk2age"
    ages.write_text(ages.read_text().replace("0003\t9", "0003\tnine"))
    with pytest.raises(ManifestError, match="spk2age: an age is no number"):
        speechocean762.divided(corpus)
    ages.write_text("0000\t6\n")
    with pytest.raises(ManifestError, match="spk2age: no line for 0001"):
        speechocean762.divided(corpus)
    ages.unlink()
    with pytest.raises(ManifestError, match=r"spk2age: missing; unpack speechocean762\.tar\.gz of OpenSLR 101"):
        speechocean762.divided(corpus)
