"""Training and evaluating models of labels: what a folder of classes becomes, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from asr import evaluate_classes
from asr.classifier import Classifier
from asr.cli import main
from asr.train import LoadSpeech, TrainConfig, train
from asr.train_targets import Classes, HeadConfig
from features import audio
from features.augment import AugmentConfig
from inference import model as models
from training.manifests import Item, ManifestError, cut, read, write


def error_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line of a command that ends with exit code 2, whether it is mistyped or cannot be done."""
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.splitlines()[-1]


def test_a_folder_of_labels_becomes_a_model_of_them(named_model: Path) -> None:
    loaded = models.load(named_model)
    assert loaded.labels == ("la", "mi", "so")
    assert loaded.head == {"kind": "class"}
    assert loaded.tokens == {"unit": "class"}
    assert loaded.calibration is None
    card = (named_model / models.CARD).read_text()
    assert "attention pooling, 3 labels" in card
    # A third of 72 cannot be kept apart by speaker alone with a share of a tenth: one of three speakers chooses.
    assert re.search(r"Trained on: 48 utterances, .* 2 speakers", card)
    assert re.search(r"chosen on: 24 utterances, .* 1 speakers", card)


def test_training_goes_on_and_ends(named_tones: Path, named_model: Path, class_options, capsys) -> None:
    capsys.readouterr()
    out = named_model.parent
    assert main(["train", str(named_tones / "train"), "--out", str(out), *class_options]) == 0
    said = capsys.readouterr()
    assert "already trained with these settings" in said.out
    assert f"try it: asr classify FILE --model {out / 'model'}" in said.err


def test_evaluation_counts_what_classify_says(named_tones: Path, named_model: Path, tmp_path: Path, capsys) -> None:
    classifier = Classifier.open(named_model)
    report, failed = evaluate_classes.evaluate(classifier, named_tones / "test")
    assert not failed
    paths = {item.id: item.path for item in read(named_tones / "test", labelled=True)}
    for one in report.items:
        found = classifier.classify(paths[one.id])
        assert (one.recognised, one.confidence) == (found.label, found.confidence)
        assert one.reference == one.id.split("/")[0]
        assert one.person == one.id.split("/")[1]
    assert report.confusion.accuracy >= 0.9, "tones are easy to tell apart"
    capsys.readouterr()
    page = tmp_path / "report.md"
    assert main(["evaluate", str(named_tones / "test"), "--model", str(named_model), "--output", str(page)]) == 0
    said = capsys.readouterr()
    assert said.out == report.summary() + "\n"
    assert "18 recordings" in said.out
    text = page.read_text()
    assert "## Confusion matrix" in text
    assert "Rows: what was known." in text
    assert "## Speakers" in text
    assert (tmp_path / "report.png").stat().st_size > 1000


def test_a_label_that_the_model_does_not_have_is_counted_as_wrong(named_tones: Path, named_model, tmp_path) -> None:
    for label in ("la", "another"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "a.wav").write_bytes((named_tones / "test" / "la" / "ben" / "0.wav").read_bytes())
    (tmp_path / "data" / "la" / "short.wav").write_bytes(b"")
    report, failed = evaluate_classes.evaluate(Classifier.open(named_model), tmp_path / "data")
    assert report.confusion.accuracy == 0.5
    assert report.labels == ("la", "mi", "so", "another")
    assert [line.split(":")[0] for line in failed] == [str(tmp_path / "data" / "la" / "short.wav")]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--beam", "4"], "options of the search"),
        (["--reliability", "plot.png"], "--reliability"),
        (["--chunk", "400ms"], "--chunk"),
        (["--form", "plain"], "--form"),
    ],
)
def test_options_of_words_are_refused_for_labels(named_tones, named_model, capsys, options, named: str) -> None:
    line = error_of(capsys, ["evaluate", str(named_tones / "test"), "--model", str(named_model), *options])
    assert line == f"asr: {named} goes with models that write words, and this one gives labels; leave them out".replace(
        "search goes", "search go"
    )


def test_all_frames_of_a_recording_have_its_label(named_tones: Path, named_model: Path) -> None:
    extractor = models.load(named_model).extractor
    load = LoadSpeech(extractor, Classes(["la", "mi", "so"]), AugmentConfig(trim_ms=50))
    item = next(one for one in read(named_tones / "train", labelled=True) if one.text == "so")
    for rng in (None, np.random.default_rng(0)):
        example = load(item, rng)
        assert example.targets_L.tolist() == [2]
        assert example.spans_L2.tolist() == [[0, len(example.frames_TF)]]


def test_who_made_a_recording_is_the_folder_below_its_label(named_tones: Path) -> None:
    items = read(named_tones / "train", labelled=True)
    assert {(item.text, item.speaker) for item in items} == {
        (label, speaker) for label in ("la", "mi", "so") for speaker in ("anna", "ben", "cleo")
    }
    assert len({item.id for item in items}) == len(items) == 72


def test_sound_outside_the_folder_of_a_label_is_refused(named_tones: Path, tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.zeros(800, np.float32), 8000)
    with pytest.raises(ManifestError, match=r"a\.wav: belongs into a folder of its label: .*LABEL/a\.wav"):
        read(tmp_path, labelled=True)


def test_labels_of_a_table_are_its_texts(named_tones: Path, tmp_path: Path) -> None:
    sound = named_tones / "train" / "la" / "anna" / "0.wav"
    (tmp_path / "all.tsv").write_text(f"path\ttext\tspeaker\n{sound}\tvery happy\tanna\n")
    [item] = read(tmp_path / "all.tsv", labelled=True)
    assert (item.text, item.speaker) == ("very happy", "anna")


def test_gender_goes_into_the_manifest(named_tones: Path, tmp_path: Path) -> None:
    from lhotse import CutSet

    sound = named_tones / "train" / "la" / "anna" / "0.wav"
    path = write(tmp_path / "a.jsonl.gz", [cut("a", sound, "la", speaker="anna", gender="female")])
    assert [one.supervisions[0].gender for one in CutSet.from_file(path)] == ["female"]


def items_of(*labels: str) -> list[Item]:
    return [Item(f"u{k}", f"{k}.wav", 0.0, 1.0, label) for k, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("training", "development", "why"),
    [
        (["a", "a"], ["a"], "one label, a: two at least"),
        (["a", ""], ["a"], r"1\.wav: '' is no label"),
        (["a", "two\nlines"], ["a"], "is no label; a label is one line"),
        (["a", "<blank>"], ["a"], "'<blank>' is no label"),
        (["a", "b"], ["c"], "no development recording has a label that is trained"),
    ],
)
def test_labels_that_cannot_be_are_named(tmp_path, training: list[str], development: list[str], why: str) -> None:
    config = TrainConfig(head=HeadConfig(kind="class"))
    with pytest.raises(ManifestError, match=why):
        train(config, train=items_of(*training), dev=items_of(*development), out=tmp_path)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--head.kind=class", "--tokens.unit=word"], "head.kind class writes none; leave them out"),
        (["--head.smoothing=0.1"], "head.smoothing belongs to head.kind class"),
        (["--head.kind=class", "--head.smoothing=1"], "head.smoothing is 1"),
    ],
)
def test_settings_that_do_not_go_together(named_tones: Path, tmp_path, capsys, options: list[str], why: str) -> None:
    assert why in error_of(capsys, ["train", str(named_tones / "train"), "--out", str(tmp_path), *options])


def test_a_model_of_words_can_be_trained_on_from(named_tones, tone_model, tmp_path, capsys) -> None:
    """Its encoder is the beginning; labels start fresh, and nothing is said of letters."""
    options = [
        "--head.kind=class",
        "--loop.epochs=1",
        "--loop.workers=0",
        "--loop.threads=1",
        "--from",
        str(tone_model),
    ]
    assert main(["train", str(named_tones / "train"), "--out", str(tmp_path), *options]) == 0
    made, before = models.load(tmp_path / "model"), models.load(tone_model)
    assert {**made.encoder, "dropout": 0} == {**before.encoder, "dropout": 0}
    assert made.labels == ("la", "mi", "so")
    again = [*options[1:-1], str(tmp_path / "model"), "--tokens.unit=word"]
    words = tmp_path / "words"
    for item in read(named_tones / "test", labelled=True):
        path = words / f"{item.id}.wav".replace("/", "_")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path(item.path).read_bytes())
        path.with_suffix(".txt").write_text(item.text)
    assert main(["train", str(words), "--out", str(tmp_path / "back"), *again]) == 0
    assert models.load(tmp_path / "back" / "model").head == {"kind": "ctc"}
