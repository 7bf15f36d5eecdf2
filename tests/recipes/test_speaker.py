"""Who speaks: every speaker is in all parts, and no recording and no sentence is in two of them."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

import pytest

from inference import model as models
from recipes.cli import main
from recipes.corpora.speechocean762 import read_table, utterances
from recipes.speaker.prepare import HELD_OUT, divided, prepare
from training.manifests import Item, ManifestError, read

write_part = runpy.run_path(str(Path(__file__).with_name("read_corpora.py")))["write_part"]


def parts(out: Path) -> dict[str, list[Item]]:
    return {part: read(out / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}


@pytest.fixture(scope="module")
def small_speechocean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers in two parts, nine sentences of a quarter of a second each; one sentence is read by two of them."""
    corpus = tmp_path_factory.mktemp("speechocean762")
    for part, speakers in (("train", ("0001", "0002")), ("test", ("0003", "0004"))):
        read_by_both = ("0001", 4), ("0003", 4)
        read = [
            (speaker, f"{speaker}{k}", "READ BY BOTH" if (speaker, k) in read_by_both else f"SENTENCE {speaker}{k}")
            for speaker in speakers
            for k in range(9)
        ]
        write_part(corpus / part, read, seconds=0.25)
    return corpus


def test_digits_keep_the_official_split(small_fsdd: Path, tmp_path: Path) -> None:
    prepare(small_fsdd, tmp_path)
    found = parts(tmp_path)
    assert {part: len(items) for part, items in found.items()} == {"train": 40, "dev": 100, "test": 100}
    for part, expected in (("test", range(5)), ("dev", range(5, 10)), ("train", range(10, 50))):
        for item in found[part]:
            _, speaker, number = item.id.split("_")
            assert int(number) in expected
            assert item.text == item.speaker == speaker
        said = Counter((item.id[0], item.speaker) for item in found[part])
        assert len(set(said.values())) == 1, "everybody says each digit equally often"


def test_sentences_are_divided_for_each_speaker(small_speechocean: Path, tmp_path: Path) -> None:
    prepare(small_speechocean, tmp_path)
    found = parts(tmp_path)
    for part, count in (("train", 3), ("dev", HELD_OUT), ("test", HELD_OUT)):
        assert Counter(item.text for item in found[part]) == dict.fromkeys(("0001", "0002", "0003", "0004"), count)
        assert all(item.speaker == item.text for item in found[part])
    ids = [item.id for items in found.values() for item in items]
    assert len(ids) == len(set(ids)) == 36


def test_no_sentence_is_in_two_parts(small_speechocean: Path) -> None:
    found = [one for part in ("train", "test") for one in utterances(small_speechocean, part)]
    for seed in range(20):
        parts = divided(found, seed=seed)
        texts = {part: {one.text for one in chosen} for part, chosen in parts.items()}
        assert not texts["train"] & texts["dev"]
        assert not texts["train"] & texts["test"]
        assert not texts["dev"] & texts["test"]
        both = [part for part, chosen in parts.items() for one in chosen if one.text == "READ BY BOTH"]
        assert len(both) == 2
        assert len(set(both)) == 1
    assert divided(found, seed=0) == divided(found[::-1], seed=0) != divided(found, seed=1)


def test_the_whole_corpus_has_twenty_sentences_of_each(shared_data: Path) -> None:
    corpus = shared_data / "speechocean762"
    found = [one for part in ("train", "test") for one in utterances(corpus, part)]
    parts = divided(found, seed=0)
    assert {part: len(chosen) for part, chosen in parts.items()} == {"train": 3500, "dev": 750, "test": 750}
    for part, count in (("train", 14), ("dev", 3), ("test", 3)):
        assert set(Counter(one.speaker for one in parts[part]).values()) == {count}
    trained = {one.text for one in parts["train"]}
    assert not trained & {one.text for one in (*parts["dev"], *parts["test"])}


def test_what_is_neither_corpus_is_said(tmp_path: Path, small_speechocean: Path) -> None:
    with pytest.raises(ManifestError, match=r"neither recordings/7_jackson_0\.wav .* nor train/wav\.scp"):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(ManifestError, match=r"absent: missing; unpack speechocean762\.tar\.gz"):
        read_table(tmp_path / "absent")
    broken = tmp_path / "broken"
    (broken / "train").mkdir(parents=True)
    (broken / "train" / "wav.scp").write_text("a WAVE/a.wav\n")
    (broken / "train" / "text").write_text("a YES\nb NO\n")
    (broken / "train" / "utt2spk").write_text("a s\nb s\n")
    with pytest.raises(ManifestError, match=r"wav\.scp: no line for b, which .*text has"):
        prepare(broken, tmp_path / "out")


def test_the_recipe_runs_and_reports_accuracy(small_speechocean: Path, tmp_path: Path, capsys) -> None:
    options = ["--loop.epochs=1", "--encoder.layers=1", "--encoder.hidden_size=8", "--loop.workers=0"]
    out = str(tmp_path / "out")
    assert main(["speaker", "--data", str(small_speechocean), "--out", out, "--loop.threads=1", *options]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test accuracy 0.")
    card = (tmp_path / "out" / "model" / models.CARD).read_text()
    assert "## Measured on test" in card
    assert "of 12 recordings" in card
