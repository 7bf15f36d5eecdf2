"""The digits recipe: which sentences it takes, and that no speaker it tests or chooses on is one it trains on."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from features import audio
from inference import model as models
from recipes.cli import main
from recipes.digits.prepare import dev_speakers, digit_sentences, prepare
from training.manifests import Item, ManifestError, read

needs_programs = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="flite and espeak-ng are not installed"
)


@pytest.fixture(scope="module")
def corpora(small_fsdd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fsdd and speechocean762 side by side, as their publishers lay them out.

    The training part has nine speakers with two sentences of digits and one of other words each, the test part three.
    """
    data = tmp_path_factory.mktemp("data")
    (data / "fsdd").symlink_to(small_fsdd)
    sentences = ("TWO SIX FOUR EIGHT", "MARK HAS ONE ELEPHANT", "ZERO THREE")
    phones = []
    for part, numbers in (("train", range(1, 10)), ("test", range(10, 13))):
        text, scp, speakers = [], [], []
        for number in numbers:
            speaker = f"{number:04d}"
            folder = data / "speechocean762" / "WAVE" / f"SPEAKER{speaker}"
            folder.mkdir(parents=True)
            for place, words in enumerate(sentences):
                id = f"{number:05d}{place:04d}"
                soundfile.write(folder / f"{id}.WAV", 0.1 * np.ones(1600), 16000)
                text.append(f"{id}\t{words}")
                scp.append(f"{id}\tWAVE/SPEAKER{speaker}/{id}.WAV")
                speakers.append(f"{id} {speaker}")
                phones += [f"{id}.{number}\tF_B AO0_I R_E" for number in range(len(words.split()))]
        (data / "speechocean762" / part).mkdir()
        for name, rows in (("text", text), ("wav.scp", scp), ("utt2spk", speakers)):
            (data / "speechocean762" / part / name).write_text("\n".join(rows) + "\n")
    (data / "speechocean762" / "resource").mkdir()
    (data / "speechocean762" / "resource" / "text-phone").write_text("\n".join(phones) + "\n")
    return data


@pytest.fixture(scope="module")
def real(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe makes of the corpora without synthetic speech; to be looked at alone."""
    out = tmp_path_factory.mktemp("real")
    prepare(corpora, out, synthetic=0)
    return out


def manifest(out: Path, part: str) -> list[Item]:
    return read(out / "manifests" / f"{part}.jsonl.gz")


def sentence_of(item: Item) -> str:
    return item.id.split("-")[0]


def test_counts_on_the_whole_corpus(shared_data: Path) -> None:
    corpus = shared_data / "speechocean762"
    train, test = digit_sentences(corpus, "train"), digit_sentences(corpus, "test")
    assert (len(train), sum(len(sentence.text.split()) for sentence in train)) == (77, 297)
    assert (len(test), sum(len(sentence.text.split()) for sentence in test)) == (88, 340)
    speakers = {sentence.speaker for sentence in train}
    assert not speakers & {sentence.speaker for sentence in test}
    assert len(dev_speakers(train, seed=0)) == round(len(speakers) / 3)
    assert all(audio.info(sentence.path).rate == 16000 for sentence in test)


def test_sentences_of_digits_alone_in_small_letters(corpora: Path) -> None:
    sentences = digit_sentences(corpora / "speechocean762", "test")
    assert [sentence.text for sentence in sentences] == ["two six four eight", "zero three"] * 3
    assert all(sentence.path.is_file() for sentence in sentences)


def test_a_third_of_the_speakers_is_kept_to_choose_on(corpora: Path, tmp_path: Path) -> None:
    prepare(corpora, tmp_path, repeat_real=3, synthetic=0)
    train, dev, test = (manifest(tmp_path, part) for part in ("train", "dev", "test"))
    real = [item for item in train if item.speaker not in ("anna", "boris")]
    speakers = [{item.speaker for item in items} for items in (real, dev, test)]
    assert [len(names) for names in speakers] == [6, 3, 3]
    assert len(set.union(*speakers)) == 12
    assert set(Counter(map(sentence_of, real)).values()) == {3}
    assert len({item.id for item in train}) == len(train)
    assert len(dev) == len(test) == 6


def test_fsdd_trains_on_training_clips_and_tests_on_test_clips(real: Path) -> None:
    for part, name, expected in (("train", "train", (10, 11)), ("test", "test_fsdd", range(5))):
        rows = (real / "audio" / part / "strings.tsv").read_text().splitlines()[1:]
        clips = {clip for row in rows for clip in row.split("\t")[2].split()}
        assert {int(clip.rpartition("_")[2]) for clip in clips} == set(expected)
        joined = [item for item in manifest(real, name) if item.speaker in ("anna", "boris")]
        assert len(joined) == len(rows)
    assert len(manifest(real, "test_fsdd")) == len(joined)


def test_for_the_last_model_every_training_speaker_trains(corpora: Path, tmp_path: Path) -> None:
    prepare(corpora, tmp_path, repeat_real=1, synthetic=0, all_real=True)
    train, dev, test = (manifest(tmp_path, part) for part in ("train", "dev", "test"))
    speakers = {item.speaker for item in train} - {"anna", "boris"}
    assert speakers == {f"{number:04d}" for number in range(1, 10)}
    assert {item.speaker for item in dev} == {"anna", "boris"}
    rows = (tmp_path / "audio" / "dev" / "strings.tsv").read_text().splitlines()[1:]
    assert {clip[-1] for row in rows for clip in row.split("\t")[2].split()} == set("56789")
    assert not speakers & {item.speaker for item in test}


def test_phones_are_learned_from_no_speaker_who_is_chosen_or_tested_on(real: Path) -> None:
    pretrain, pretrain_dev, dev, test = (manifest(real, part) for part in ("pretrain", "pretrain_dev", "dev", "test"))
    assert len(pretrain) == 6 * 3
    assert len(pretrain_dev) == 3 * 3
    learned = {item.speaker for item in pretrain}
    assert {item.speaker for item in pretrain_dev} == {item.speaker for item in dev}
    assert not learned & {item.speaker for item in (*dev, *test)}
    assert {item.text for item in pretrain} == {" ".join(["f ao r"] * words) for words in (2, 4)}


def test_who_is_held_out_of_fsdd_is_heard_in_the_test_alone(corpora: Path, real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "manifests", tmp_path / "manifests")
    prepare(corpora, tmp_path, synthetic=0, all_real=True, held_out="boris")
    assert {item.speaker for item in manifest(tmp_path, "test")} == {"boris"}
    for part in ("train", "dev", "pretrain", "pretrain_dev"):
        assert "boris" not in {item.speaker for item in manifest(tmp_path, part)}
    assert not (tmp_path / "manifests" / "test_fsdd.jsonl.gz").exists(), "of the six speakers of before"
    with pytest.raises(ManifestError, match="held_out is 'clara'; the speakers are anna, boris"):
        prepare(corpora, tmp_path, held_out="clara")


def test_the_seed_chooses_the_speakers(corpora: Path) -> None:
    sentences = digit_sentences(corpora / "speechocean762", "train")
    chosen = [dev_speakers(sentences, seed=seed) for seed in range(8)]
    assert chosen[0] == dev_speakers(sentences, seed=0)
    assert len(set(map(frozenset, chosen))) > 1


@pytest.mark.slow
def test_each_cell_starts_from_its_own_pretraining(corpora: Path, tmp_path: Path) -> None:
    command = ["digits", "--data", str(corpora), "--out", str(tmp_path), "--cells", "rnn", "cifg", "--seeds", "0"]
    work = ["--prepare.synthetic=0", "--prepare.repeat_real=1", "--loop.epochs=1", "--loop.workers=0"]
    assert main([*command, *work, "--stages", "prepare", "train"]) == 0
    for cell in ("rnn", "cifg"):
        before, after = (models.load(tmp_path / cell / part / "model") for part in ("pretrain", "seed0"))
        assert before.encoder["cell"] == after.encoder["cell"] == cell
        assert f"- Trained on from: pretrain/{before.name}" in (after.directory / "README.md").read_text()


@needs_programs
def test_synthetic_speech_trains_too_and_is_made_once(corpora: Path, tmp_path: Path) -> None:
    for _ in range(2):
        prepare(corpora, tmp_path, repeat_real=1, synthetic=5)
        spoken = [item for item in manifest(tmp_path, "train") if item.speaker.startswith(("flite", "espeak"))]
        assert len(spoken) == 5
        assert sorted(len(item.text.split()) > 1 for item in spoken) == [False] * 2 + [True] * 3
        times = [Path(item.path).stat().st_mtime_ns for item in spoken]
    prepare(corpora, tmp_path, repeat_real=1, synthetic=5)
    assert times == [Path(item.path).stat().st_mtime_ns for item in spoken]


def test_without_synthesisers_it_says_so_and_goes_on(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    prepare(corpora, tmp_path, synthetic=10)
    assert "without synthetic speech" in (said := capsys.readouterr().err)
    assert "apt-get install flite espeak-ng" in said
    assert not any(item.speaker.startswith(("flite", "espeak")) for item in manifest(tmp_path, "train"))


def test_what_is_missing_is_named(corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no folder fsdd; --data is the folder that holds both"):
        prepare(tmp_path, tmp_path)
    (tmp_path / "fsdd").symlink_to(corpora / "fsdd")
    with pytest.raises(ManifestError, match="no folder speechocean762"):
        prepare(tmp_path, tmp_path)
    copy = shutil.copytree(corpora / "speechocean762", tmp_path / "speechocean762")
    speakers = copy / "train" / "utt2spk"
    rows = speakers.read_text().splitlines()
    speakers.write_text("\n".join(rows[1:]))
    with pytest.raises(ManifestError, match=r"utt2spk: no line for 000010000, which .*text has"):
        prepare(tmp_path, tmp_path / "out")
    (copy / "resource" / "text-phone").unlink()
    speakers.write_text("\n".join(rows))
    with pytest.raises(ManifestError, match=r"text-phone: missing; unpack speechocean762\.tar\.gz of OpenSLR 101"):
        prepare(tmp_path, tmp_path / "out", synthetic=0)
    speakers.unlink()
    with pytest.raises(ManifestError, match=r"utt2spk: missing; unpack speechocean762\.tar\.gz of OpenSLR 101"):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="repeat_real must be at least 1"):
        prepare(tmp_path, tmp_path / "out", repeat_real=0)
