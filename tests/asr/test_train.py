"""Recordings and their words become a model: measured on the exported graph, resumed to the bit, trained on from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from asr.evaluate import evaluate
from asr.recognizer import Recognizer
from asr.tokens import SPACE, TokenConfig, TokenError
from asr.train import TrainConfig, train
from encoders.blstm import EncoderConfig
from features import audio
from features.extractor import FeatureConfig
from features.filterbank import FbankConfig
from inference import model as models
from inference.model import BLANK, ModelError
from training.config import OptimizerConfig
from training.loop import Training
from training.manifests import Item, ManifestError
from training.run import check_shape


@pytest.fixture
def short(tone_config: TrainConfig) -> TrainConfig:
    """A run of two passes."""
    return replace(tone_config, loop=replace(tone_config.loop, epochs=2, batch_frames=2000))


def parts(items: dict[str, list[Item]], *, train: int = 20, dev: int = 6) -> dict[str, list[Item]]:
    """So many of the items to train on: nothing need be learnt."""
    return {"train": items["train"][:train], "dev": items["dev"][:dev]}


def bytes_of(model: models.Model) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(model.directory.iterdir())}


# --- the model --------------------------------------------------------------------------------------------------------


def test_the_model_has_learnt_words_of_speakers_that_it_has_not_heard(tone_recognizer: Recognizer, items) -> None:
    for item in items["test"]:
        assert tone_recognizer.transcribe(item.path).text == item.text


def test_the_model_directory_is_whole_and_its_card_says_what_was_done(tone_model: Path) -> None:
    model = models.load(tone_model)
    assert model.labels == (BLANK, "la", "mi", "so")
    assert model.subsampling == 3
    assert model.tokens == {"unit": "word", "form": "plain"}
    for said in ("96 utterances", "4 speakers", "16 utterances", "LSTM", "24 units", "Seed: 0"):
        assert said in model.card
    assert (tone_model.parent / "run" / "train.log").is_file()


def test_the_card_names_the_command_the_data_and_the_model_that_it_started_from(
    tone_model, items, short, tmp_path
) -> None:
    made = train(
        replace(short, loop=replace(short.loop, epochs=1)),
        **parts(items),
        out=tmp_path,
        start_from=models.load(tone_model),
        command="asr train data",
        data_note="Tones, CC0",
    )
    for said in ("    asr train data", "Tones, CC0", f"Trained on from: {tone_model.parent.name}/model"):
        assert said in made.card


def test_characters_and_unidirectional_and_mfcc_and_utterance_statistics(items, short, tmp_path: Path) -> None:
    config = replace(
        short,
        features=FeatureConfig(fbank=FbankConfig(rate=8000, bins=12), deltas=1, normalization="utterance"),
        tokens=TokenConfig(unit="char"),
        encoder=EncoderConfig(layers=2, hidden_size=8, subsampling=[2, 2], bidirectional=False),
    )
    made = train(config, **parts(items), out=tmp_path)
    assert made.labels == (BLANK, SPACE, *sorted("lamiso"))
    assert made.subsampling == 4
    assert not made.extractor.streams
    assert "- Latency: hears whole recordings alone" in made.card
    assert made.extractor.num_features == 24
    Recognizer(made).transcribe(items["test"][0].path)


# --- again, resumed, other settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_it_is_the_same_model_to_the_bit(
    augment, workers: int, items, short, tmp_path: Path, monkeypatch
) -> None:
    """With everything that draws: augmentation, dropout, averaging."""
    config = replace(
        short,
        augment=augment,
        encoder=replace(short.encoder, layers=2, hidden_size=8, dropout=0.3),
        loop=replace(short.loop, epochs=3, workers=workers, average=0.9),
    )
    data = parts(items, train=24)
    whole = train(config, **data, out=tmp_path / "whole")
    step = Training.training_step
    passes = [int(n) for n in re.findall(r"step +(\d+)", (tmp_path / "whole" / "run" / "train.log").read_text())]

    def interrupted(self: Training, batch, batch_idx):
        if self.global_step == passes[0] + 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, **data, out=tmp_path / "resumed")
    monkeypatch.setattr(Training, "training_step", step)
    assert not (tmp_path / "resumed" / "model").exists()
    # How the work is done may be another way: more or fewer workers.
    other = replace(config, loop=replace(config.loop, workers=1 - workers, cache_mb=0))
    resumed = train(other, **data, out=tmp_path / "resumed")
    assert bytes_of(resumed) == bytes_of(whole)


def test_a_finished_run_gives_its_model_back(items, short, tmp_path: Path, capsys) -> None:
    data = {**parts(items), "out": tmp_path}
    made = train(short, **data)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    again = train(short, **data)
    assert bytes_of(again) == bytes_of(made)
    assert "already trained" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_another_run_does_not_mix_with_the_one_that_is_there(items, short, tone_model, tmp_path: Path) -> None:
    data = {**parts(items), "out": tmp_path}
    made = bytes_of(train(short, **data))
    others = {
        "loop": lambda: train(replace(short, loop=replace(short.loop, epochs=3)), **data),
        "encoder": lambda: train(replace(short, encoder=replace(short.encoder, hidden_size=9)), **data),
        "data": lambda: train(short, **{**data, "train": data["train"][1:]}),
        "start_from": lambda: train(short, **data, start_from=models.load(tone_model)),
    }
    for name, other in others.items():
        with pytest.raises(ManifestError, match=rf"holds a run with other settings \({name}.*another --out"):
            other()
    assert bytes_of(models.load(tmp_path / "model")) == made


def test_settings_that_led_to_nothing_may_be_corrected(items, short, tmp_path: Path) -> None:
    with pytest.raises(TokenError):
        train(replace(short, tokens=TokenConfig(unit="word", least_count=999)), **parts(items), out=tmp_path)
    assert train(short, **parts(items), out=tmp_path).labels


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda note: note.write_text("a: ["), lambda note: note.write_text("")]
)
def test_a_note_of_the_settings_that_is_gone_or_damaged(damage: Callable, items, short, tmp_path: Path) -> None:
    train(short, **parts(items), out=tmp_path)
    damage(tmp_path / "settings.yaml")
    with pytest.raises(ManifestError, match=r"settings\.yaml: is gone or damaged"):
        train(short, **parts(items), out=tmp_path)


# --- data that cannot be used -----------------------------------------------------------------------------------------


def test_what_the_labels_cannot_spell_is_left_out_and_shown(items, short, tmp_path: Path, capsys) -> None:
    dev = [replace(items["dev"][0], id="strange", text="la fa"), *items["dev"][1:]]
    train(replace(short, tokens=TokenConfig(unit="word")), train=items["train"][:20], dev=dev, out=tmp_path)
    said = capsys.readouterr().out
    assert "1 of 16 development utterances left out, no label for:\n" in said
    assert re.search(r"^  fa +1 +1 strange +la fa$", said, re.MULTILINE)
    assert "find training utterances that have them" in said
    assert said.index("strange") < said.index("interval"), "before training begins"
    with pytest.raises(ManifestError, match="no development utterance is left"):
        train(short, train=items["train"], dev=dev[:1], out=tmp_path / "other")


def test_an_alphabet_of_ones_own(items, short, tmp_path: Path, capsys) -> None:
    """Its labels in its order; what it lacks and what it has in vain is said; what it says belongs to the run."""
    path = tmp_path / "alphabet.txt"
    path.write_text("# of tones\n<space>\nla\nso\nm\nch\n", encoding="utf-8")
    config = replace(short, tokens=TokenConfig(alphabet=str(path)), loop=replace(short.loop, epochs=1))
    data = parts(items, train=96)
    made = train(config, **data, out=tmp_path / "out")
    assert made.labels == (BLANK, SPACE, "la", "so", "m", "ch")
    said = capsys.readouterr().out
    assert "1 labels stand in no training utterance and cannot be learnt: ch" in said
    assert "5 labels; the rarest in the training texts: so 94 (speaker0/u0), m " in said
    left = sum("mi" not in item.text for item in items["train"])
    assert f"{96 - left} of 96 training utterances left out, no label for:\n" in said
    assert "U+0069 LATIN SMALL LETTER I" in said
    assert "add them to the alphabet" in said
    path.write_text("\n".join(made.labels), encoding="utf-8")
    train(config, **data, out=tmp_path / "out")
    assert "already trained" in capsys.readouterr().out
    path.write_text("la\nso\nmi\n<space>", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"other settings \(tokens\.alphabet .*, now .*\); give"):
        train(config, **data, out=tmp_path / "out")
    path.write_text("La\n", encoding="utf-8")
    with pytest.raises(TokenError, match=r"alphabet\.txt: 'La' occurs in no text as it is compared; write 'la' there"):
        train(config, **data, out=tmp_path / "out")


def test_a_model_that_writes_as_texts_are_written(tone_model, items, short, tmp_path: Path, capsys) -> None:
    typed = {
        part: [replace(item, text=item.text.capitalize() + ".") for item in some] for part, some in parts(items).items()
    }
    config = replace(short, tokens=TokenConfig(form="written"), loop=replace(short.loop, epochs=1))
    made = train(config, **typed, out=tmp_path, start_from=models.load(tone_model))
    assert made.labels == (BLANK, ".", SPACE, *"LMSailmo", "s")
    assert "texts are written here, and those of" in capsys.readouterr().out
    recognizer = Recognizer(made)
    assert recognizer.tokens.encode("La.") == [made.labels.index(letter) for letter in "La."]
    assert recognizer.stream()._tokens.form == "written"
    report, _ = evaluate(recognizer, _table(tmp_path, typed["dev"][:2]))
    assert report.form == "written"
    assert "Compared as written" in report.to_markdown()
    assert report.summary().splitlines()[2].endswith("; compared as written")
    assert evaluate(recognizer, _table(tmp_path, typed["dev"][:2]), form="plain")[0].form == "plain"


def _table(folder: Path, items: list[Item]) -> Path:
    lines = ["path\ttext", *(f"{item.path}\t{item.text}" for item in items)]
    (folder / "some.tsv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "some.tsv"


def test_texts_without_any_letter(items, short, tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="empty"):
        train(short, train=[replace(item, text=" . ") for item in items["train"]], dev=items["dev"], out=tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recording_that_cannot_be_read_is_named(workers: int, items, short, tmp_path: Path) -> None:
    path = Path(shutil.copy(items["dev"][3].path, tmp_path / "cut.wav"))
    path.write_bytes(path.read_bytes()[:600])
    dev = [*items["dev"], replace(items["dev"][3], id="cut", path=str(path))]
    config = replace(short, loop=replace(short.loop, workers=workers))
    with pytest.raises(audio.AudioError, match=r"cut\.wav") as caught:
        train(config, train=items["train"][:20], dev=dev, out=tmp_path / "out")
    assert len(str(caught.value).splitlines()) == 1


# --- training on from a model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "other"), [("hidden_size", 12), ("cell", "gru")])
def test_a_stored_encoder_of_another_shape_is_refused(field, other, tone_model, items, short, tmp_path: Path) -> None:
    """Neither a model whose own files disagree, nor settings that are not the model's, are trained on from."""
    broken = Path(shutil.copytree(tone_model, tmp_path / "broken"))
    (broken / "SHA256SUMS").unlink()
    config = yaml.safe_load((broken / "config.yaml").read_text(encoding="utf-8"))
    config["encoder"][field] = other
    (broken / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(models.ModelError, match=r"broken: cannot train on from these weights: layer0\.forward\.W has"):
        train(short, **parts(items), out=tmp_path / "out", start_from=models.load(broken))
    encoder = replace(EncoderConfig(**models.load(tone_model).encoder), **{field: other})
    with pytest.raises(models.ModelError, match=rf"encoder\.{field} is \w+ there and {other} here"):
        check_shape(encoder, models.load(tone_model))


def test_a_new_alphabet_keeps_what_it_shares_with_the_old_one(tone_model: Path, items, short, tmp_path: Path) -> None:
    """Nothing moves in this run, so what is exported is what it started from."""
    renamed = {
        part: [replace(item, text=item.text.replace("so", "zo").replace("la", "la fa")) for item in some]
        for part, some in parts(items).items()
    }
    still = replace(
        short,
        optimizer=OptimizerConfig(learning_rate=1e-12, weight_decay=0.0),
        loop=replace(short.loop, epochs=1),
    )
    start = models.load(tone_model)
    made = train(still, **renamed, out=tmp_path, start_from=start)
    assert made.labels == (BLANK, "fa", "la", "mi", "zo")
    old, new = (load_file(model.directory / models.WEIGHTS) for model in (start, made))
    for name in set(old) - {"head.weight", "head.bias"}:
        np.testing.assert_allclose(new[name], old[name], rtol=0, atol=1e-8)
    for here, there in ((0, 0), (2, 1), (3, 2)):
        np.testing.assert_allclose(new["head.weight"][:, here], old["head.weight"][:, there], rtol=0, atol=1e-8)
        np.testing.assert_allclose(new["head.bias"][here], old["head.bias"][there], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(made.extractor.mean, start.extractor.mean)


def test_a_new_word_is_learnt_fast_from_a_trained_model(tone_model: Path, items, tone_config, tmp_path: Path) -> None:
    renamed = {
        part: [replace(item, text=item.text.replace("so", "दो")) for item in items[part]]
        for part in ("train", "dev", "test")
    }
    config = replace(
        tone_config,
        features=FeatureConfig(fbank=FbankConfig(rate=16000)),  # those of the model take its place
        encoder=EncoderConfig(layers=4, hidden_size=3),
        loop=replace(tone_config.loop, epochs=3),
    )
    made = train(config, train=renamed["train"], dev=renamed["dev"], out=tmp_path, start_from=models.load(tone_model))
    assert made.encoder["hidden_size"] == 24
    recognizer = Recognizer(made)
    right = [recognizer.transcribe(item.path).text == item.text for item in renamed["test"]]
    assert sum(right) >= 0.9 * len(right)
    assert config.encoder.hidden_size == 3, "the caller's settings are left alone"


def test_starting_from_a_model_with_damaged_weights(tone_model: Path, items, short, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tone_model, tmp_path / "broken"))
    whole = (broken / models.WEIGHTS).read_bytes()
    (broken / models.WEIGHTS).write_bytes(whole[:8] + b"\x00" + whole[9:])
    with pytest.raises(ModelError, match=r"weights\.safetensors is damaged"):
        models.load(broken)
    (broken / models.SUMS).unlink()
    with pytest.raises(ModelError, match=r"broken: weights\.safetensors is damaged"):
        train(short, **parts(items), out=tmp_path / "out", start_from=models.load(broken))
