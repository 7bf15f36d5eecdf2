"""an4: the publisher's split kept, its lists checked against each other, and speakers apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from features import audio
from features.given import FramesError, write_sphinx
from inference import model as models
from recipes import an4
from recipes.an4.prepare import prepare
from recipes.cli import main
from training.manifests import Item, ManifestError, read

SETTINGS = Path(an4.__file__).with_name("sound.yaml")


def parts(out: Path) -> dict[str, list[Item]]:
    return {part: read(out / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}


@pytest.fixture
def small_an4(tmp_path: Path) -> Path:
    """Twelve speakers of two utterances train and two test, in the layout of the publisher."""
    corpus = tmp_path / "an4"
    (corpus / "etc").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, folder, speakers in (("train", "an4_clstk", 12), ("test", "an4test_clstk", 2)):
        files, texts = [], []
        for speaker in range(speakers):
            for k in range(2):
                name = f"an{k}-{part}{speaker:02}-b"
                file = f"{folder}/{part}{speaker:02}/{name}"
                (corpus / "feat" / file).parent.mkdir(parents=True, exist_ok=True)
                write_sphinx(corpus / "feat" / f"{file}.mfc", rng.standard_normal((30 + k, 13)))
                files.append(file)
                texts.append(f"<s> GO {'FIVE' if k else 'F I V E'} </s> ({name})" if speaker else f"GO ({name})")
        (corpus / "etc" / f"an4_{part}.fileids").write_text("\n".join(files) + "\n")
        (corpus / "etc" / f"an4_{part}.transcription").write_text("\n".join(texts) + "\n")
    return corpus


def test_the_split_is_the_publishers_and_every_tenth_training_speaker_chooses(small_an4: Path, tmp_path: Path) -> None:
    prepare(small_an4, tmp_path / "out")
    found = parts(tmp_path / "out")
    speakers = {part: sorted({item.speaker for item in items}) for part, items in found.items()}
    assert speakers["dev"] == ["train00", "train10"]
    assert speakers["test"] == ["test00", "test01"]
    assert {part: len(items) for part, items in found.items()} == {"train": 20, "dev": 4, "test": 4}
    item = found["train"][1]
    assert (item.id, item.text, item.duration) == ("an1-train01-b", "GO FIVE", 0.31)
    assert (tmp_path / "out" / "train.txt").read_text().splitlines() == [item.text for item in found["train"]]


def test_the_whole_corpus(shared_data: Path, tmp_path: Path) -> None:
    prepare(shared_data / "an4", tmp_path)
    found = parts(tmp_path)
    assert {part: len(items) for part, items in found.items()} == {"train": 850, "dev": 98, "test": 130}
    assert sum(len(item.text.split()) for item in found["test"]) == 773
    people = [{item.speaker for item in items} for items in found.values()]
    assert [len(one) for one in people] == [66, 8, 10]
    assert len(set.union(*people)) == 84
    assert all(item.text and "(" not in item.text for items in found.values() for item in items)


def sample(order: str, seconds: float = 0.3) -> bytes:
    """A tone in noise, as 16-bit samples of one byte order, at 16 kHz."""
    times_S = np.arange(round(16000 * seconds)) / 16000
    samples_S = 6000 * np.sin(2 * np.pi * 300 * times_S) + np.random.default_rng(0).normal(0, 200, len(times_S))
    return np.rint(samples_S).astype(f"{order}i2").tobytes()


def sphere(order: str) -> bytes:
    """The same in NIST SPHERE, with the fields and the byte order that CMU's files have (10 is big-endian)."""
    content = sample(order)
    fields = (
        "NIST_1A\n   1024\ndatabase_id -s3 an4\nchannel_count -i 1\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
        f"sample_sig_bits -i 16\nsample_byte_format -s2 {'10' if order == '>' else '01'}\n"
        f"sample_count -i {len(content) // 2}\nend_head\n"
    )
    return fields.encode().ljust(1024) + content


SOUNDS = {"sph": sphere(">"), "little sph": sphere("<"), "raw": sample(">"), "little raw": sample("<")}


def as_sound(corpus: Path, kind: str) -> Path:
    """The corpus with recordings in the place of its cepstra."""
    for path in corpus.glob("feat/*/*/*.mfc"):
        sound = corpus / "wav" / path.relative_to(corpus / "feat").with_suffix(f".{kind.split()[-1]}")
        sound.parent.mkdir(parents=True, exist_ok=True)
        sound.write_bytes(SOUNDS[kind])
    shutil.rmtree(corpus / "feat")
    return corpus


@pytest.mark.parametrize("kind", SOUNDS)
def test_sound_has_the_parts_and_texts_of_the_cepstra(small_an4: Path, tmp_path: Path, kind: str) -> None:
    prepare(small_an4, tmp_path / "cepstra")
    as_sound(small_an4, kind)
    for _ in range(2):
        prepare(small_an4.parent, tmp_path / "sound", source="sound")
    given, heard = parts(tmp_path / "cepstra"), parts(tmp_path / "sound")
    for part in given:
        assert [(one.id, one.text, one.speaker) for one in heard[part]] == [
            (one.id, one.text, one.speaker) for one in given[part]
        ]
    assert (tmp_path / "sound" / "train.txt").read_text() == (tmp_path / "cepstra" / "train.txt").read_text()
    item = heard["test"][0]
    assert item.duration == 0.3
    samples_S, rate = audio.read(item.path)
    assert rate == 16000
    np.testing.assert_array_equal(samples_S * 32768, np.frombuffer(sample("<"), dtype="<i2"))


def command(corpus: Path, out: Path, *more: str) -> list[str]:
    return ["an4", "--data", str(corpus), "--out", str(out), *more]


def test_the_settings_for_sound_say_what_is_read(
    small_an4: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_sound(small_an4, "sph")
    assert main(command(small_an4, tmp_path / "out")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"an4: holds sound and no cepstra (feat); add --config {SETTINGS}")
    assert main(command(small_an4, tmp_path / "out", "--config", str(SETTINGS), "--stages", "prepare")) == 0
    assert all(item.path.endswith(".sph") for items in parts(tmp_path / "out").values() for item in items)


@pytest.mark.slow
def test_sound_trains_with_its_settings(small_an4: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_sound(small_an4, "sph")
    tiny = ["--loop.epochs=1", "--encoder.layers=2", "--encoder.hidden_size=8", "--loop.workers=0", "--loop.threads=1"]
    assert main(command(small_an4, tmp_path / "out", "--config", str(SETTINGS), *tiny)) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test WER ")
    extractor = models.load(tmp_path / "out" / "model").extractor
    assert (extractor.rate, extractor.num_features) == (16000, 40)


def test_recordings_that_are_missing_or_damaged(small_an4: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"wav: no recordings; unpack an4_sphere\.tar\.gz"):
        prepare(small_an4, tmp_path / "out", source="sound")
    as_sound(small_an4, "raw")
    path = small_an4 / "wav" / "an4_clstk" / "train03" / "an1-train03-b.raw"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ManifestError, match=r"an1-train03-b\.raw: 9,599 bytes are no samples"):
        prepare(small_an4, tmp_path / "out", source="sound")
    path.rename(path.with_suffix(".sph")).write_bytes(SOUNDS["sph"][:-400])
    with pytest.raises(audio.AudioError, match=r"an1-train03-b\.sph: is cut short"):
        prepare(small_an4, tmp_path / "out", source="sound")
    path.with_suffix(".sph").unlink()
    with pytest.raises(
        ManifestError, match=r"train03/an1-train03-b: no \.sph or \.raw of it, which an4_train\.fileids"
    ):
        prepare(small_an4, tmp_path / "out", source="sound")


def test_lists_that_do_not_go_together(small_an4: Path, tmp_path: Path) -> None:
    lines = (small_an4 / "etc" / "an4_test.transcription").read_text().splitlines()
    for changed in ([lines[1], lines[0], *lines[2:]], lines[:-1], [*lines, lines[-1]], ["GO", *lines[1:]]):
        (small_an4 / "etc" / "an4_test.transcription").write_text("\n".join(changed) + "\n")
        with pytest.raises(ManifestError, match=r"an4_test\.transcription"):
            prepare(small_an4, tmp_path / "out")


def test_what_is_missing_or_damaged_is_named(small_an4: Path, tmp_path: Path) -> None:
    path = small_an4 / "feat" / "an4_clstk" / "train03" / "an1-train03-b.mfc"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FramesError, match=r"an1-train03-b\.mfc: not a Sphinx feature file, or cut short"):
        prepare(small_an4, tmp_path / "out")
    path.unlink()
    with pytest.raises(FramesError, match=r"an1-train03-b\.mfc: no such file"):
        prepare(small_an4, tmp_path / "out")
    with pytest.raises(ManifestError, match=r"an4_train\.fileids: no such file; unpack the an4 of CMU Sphinx"):
        prepare(tmp_path / "empty", tmp_path / "out")
