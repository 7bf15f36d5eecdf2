"""The model directory: what is saved comes back, and what is damaged is refused by name."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
import subprocess
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from encoders.blstm import EncoderConfig
from encoders.network import Network
from inference import model as models
from inference.model import BLANK, CARD, CONFIG, GRAPH, LABELS, SUMS, WEIGHTS, Model, ModelError, stored_config

ALL_LABELS, run_python, save = itemgetter("ALL_LABELS", "run_python", "save")(
    runpy.run_path(str(Path(__file__).with_name("small_model.py")))
)

CHECKED = (GRAPH, WEIGHTS, CONFIG, LABELS)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "whole").directory


@pytest.fixture
def directory(original: Path, tmp_path: Path) -> Path:
    """A model that may be damaged."""
    return Path(shutil.copytree(original, tmp_path / "my model"))


def frames(model: Model) -> np.ndarray:
    return model.extractor(0.1 * np.random.default_rng(0).standard_normal(4000).astype(np.float32))


def set_sums(directory: Path) -> None:
    """As `sha256sum model.onnx ... > SHA256SUMS` would."""
    sums = (f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n" for name in CHECKED)
    (directory / SUMS).write_text("".join(sums))


def refused(directory: Path) -> str:
    """The message with which a model is refused, on loading or on opening its graph: one line that names it."""
    with pytest.raises(ModelError) as caught:
        _ = models.load(directory).scorer
    message = str(caught.value)
    assert str(directory) in message
    assert len(message.splitlines()) == 1
    assert len(message) < 500
    return message


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    saved = save(tmp_path / "deep" / "down" / "model", seed=3)
    loaded = models.load(tmp_path / "deep" / "down" / "model")
    assert loaded.labels == ALL_LABELS
    assert loaded.name == "model"
    assert loaded.card == "# A card\n"
    assert loaded.tokens == {"unit": "char"}
    assert loaded.encoder == {"cell": "lstm", "layers": 2, "hidden_size": 6, "subsampling": [1, 2]}
    assert loaded.subsampling == 2
    assert loaded.step_seconds == pytest.approx(0.02)
    np.testing.assert_array_equal(frames(loaded), frames(saved))
    torch.manual_seed(3)
    network = Network(8, 5, EncoderConfig(layers=2, hidden_size=6, subsampling=[1, 2])).eval()
    with torch.no_grad():
        expected, _ = network(torch.from_numpy(frames(loaded)[None]), torch.tensor([len(frames(loaded))]))
    np.testing.assert_allclose(loaded.scorer.full(frames(loaded)), expected[0].numpy(), rtol=0, atol=1e-5)
    assert sorted(path.name for path in loaded.directory.iterdir()) == sorted([*CHECKED, CARD, SUMS])
    assert [path.name for path in loaded.directory.parent.iterdir()] == ["model"], "nothing is left beside it"


def test_the_files_are_what_other_programs_know(original: Path) -> None:
    assert (original / LABELS).read_text(encoding="utf-8").splitlines() == list(ALL_LABELS)
    config = yaml.safe_load((original / CONFIG).read_text(encoding="utf-8"))
    assert list(config) == ["format", "features", "encoder", "head", "tokens"]
    header_size = int.from_bytes((original / WEIGHTS).read_bytes()[:8], "little")
    assert "head.weight" in json.loads((original / WEIGHTS).read_bytes()[8 : 8 + header_size])
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=original, check=True)


def test_a_directory_may_be_moved_and_its_card_edited(directory: Path) -> None:
    (directory / CARD).write_text("# My own words\n")
    moved = directory.rename(directory.with_name("elsewhere"))
    assert models.load(moved).card == "# My own words\n"
    (moved / CARD).unlink()
    assert models.load(moved).card == ""
    assert models.load(moved).scorer.labels == 5


@pytest.mark.parametrize("name", CHECKED)
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert name in refused(directory)


def test_no_directory_at_all(tmp_path: Path) -> None:
    assert "no such model directory" in refused(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    assert "no such model directory" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "not a whole model" in refused(tmp_path / "empty")


@pytest.mark.parametrize("name", CHECKED)
def test_any_flipped_byte_is_found(directory: Path, name: str) -> None:
    whole = (directory / name).read_bytes()
    for place in np.random.default_rng(0).integers(len(whole), size=20).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        (directory / name).write_bytes(damaged)
        assert f"{name} is damaged" in refused(directory)
    (directory / name).write_bytes(whole)
    models.load(directory)


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("with_sums", [True, False])
def test_a_file_that_is_cut_short_is_found_with_sums_and_without(directory: Path, name: str, with_sums: bool) -> None:
    whole = (directory / name).read_bytes()
    if not with_sums:
        (directory / SUMS).unlink()
    for share in (0.0, 0.3, 0.7, 0.97):
        (directory / name).write_bytes(whole[: int(share * len(whole))])
        refused(directory)


@pytest.mark.parametrize("name", CHECKED)
def test_without_sums_damage_ends_in_a_model_or_in_one_line(directory: Path, name: str) -> None:
    """No flipped byte brings the program down with anything but a ModelError."""
    (directory / SUMS).unlink()
    whole = (directory / name).read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3).tolist():
            damaged[place] = int(rng.integers(256))
        (directory / name).write_bytes(damaged)
        try:
            model = models.load(directory)
            assert model.scorer.full(frames(model)).shape[1] == 5
        except ModelError:
            refused(directory)


def test_damaged_sums(directory: Path) -> None:
    for content in ("", "nonsense", "\x00\xff", f"{'0' * 64}  {GRAPH}\n"):
        (directory / SUMS).write_bytes(content.encode("latin-1"))
        assert SUMS in refused(directory)


def test_swapped_labels_are_found(directory: Path) -> None:
    labels = list(ALL_LABELS)
    labels[1], labels[2] = labels[2], labels[1]
    (directory / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
    assert LABELS in refused(directory)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", BLANK, "b", "c", "d"],
        [BLANK, "a", "b", "a", "c"],
        [BLANK, "a", "", "b", "c"],
        [],
        [BLANK, "a", "b", "c"],
        [BLANK, "a", "b", "c", "d", "e"],
    ],
    ids=["blank not first", "one twice", "one empty", "none", "one too few", "one too many"],
)
def test_labels_that_cannot_be(directory: Path, labels: list[str]) -> None:
    (directory / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
    set_sums(directory)
    assert LABELS in refused(directory)


def test_labels_with_line_ends_of_windows(directory: Path) -> None:
    (directory / LABELS).write_bytes((directory / LABELS).read_bytes().replace(b"\n", b"\r\n"))
    set_sums(directory)
    assert models.load(directory).labels == ALL_LABELS


@pytest.mark.parametrize("name", [GRAPH, CONFIG])
def test_files_of_another_model_are_found(directory: Path, tmp_path: Path, name: str) -> None:
    """A model of as many labels that reads other features."""
    other = save(tmp_path / "other", bins=9).directory
    shutil.copy(other / name, directory / name)
    assert name in refused(directory)
    set_sums(directory)
    refused(directory)


ON_LANDMARKS = {"features": {"landmarks": {}}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": 5}, "format 5.*knows up to 4.*upgrade saywave"),
        ({"head": {"kind": "regression"}}, "head.kind is 'regression'"),
        ({"head": "ctc"}, "head.kind is missing"),
        (ON_LANDMARKS | {"head": {"kind": "class"}}, "head.window_ms is None"),
        (
            ON_LANDMARKS | {"head": {"kind": "class", "window_ms": float("nan"), "hop_ms": 1, "threshold": 0}},
            "head.window_ms is nan",
        ),
        (
            ON_LANDMARKS | {"head": {"kind": "class", "window_ms": 9, "hop_ms": "x", "threshold": 0}},
            "head.hop_ms is 'x'",
        ),
        (
            ON_LANDMARKS | {"head": {"kind": "class", "window_ms": 9, "hop_ms": 1, "threshold": 2}},
            "head.threshold is 2",
        ),
        (
            {"head": {"kind": "class", "window_ms": 9, "hop_ms": 1, "threshold": 0}},
            "<blank> is the first label with CTC, and only there",
        ),
        ({"format": 0}, "format 0 is not one that saywave ever wrote"),
        ({"format": "new"}, "format 'new' is not"),
        ({"format": None}, "format None is not"),
        ({"features": None}, "features is missing"),
        ({"features": {"fbank": {"bins": "many"}}}, "bins"),
        ({"features": {"fbank": {"rate": 8000, "colour": 3}}}, "colour"),
        ({"features": {"fbank": {"bins": 8, "rate": 8000}, "mean": [0.0], "std": [1.0]}}, "mean"),
        ({"encoder": {}}, "encoder.subsampling is missing"),
        ({"encoder": {"subsampling": 3}}, "encoder.subsampling is 3"),
        ({"encoder": {"subsampling": [0]}}, "subsampling"),
        ({"encoder": {"subsampling": ["x"]}}, "subsampling"),
        ({"encoder": [1]}, "encoder"),
        ({"tokens": {}}, "tokens.unit is missing"),
        ({"tokens": "char"}, "tokens"),
    ],
    ids=str,
)
def test_a_config_that_cannot_be_is_told_by_its_key(directory: Path, change: dict, named: str) -> None:
    config = yaml.safe_load((directory / CONFIG).read_text(encoding="utf-8"))
    (directory / CONFIG).write_text(yaml.safe_dump(config | change), encoding="utf-8")
    set_sums(directory)
    with pytest.raises(ModelError, match=named):
        models.load(directory)
    refused(directory)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- 1\n- 2\n",
        b"text",
        b"a: [",
        b"\xff\xfe",
        b"[" * 2000,
        b"format: !!python/object/apply:os.system [id]",
    ],
)
def test_a_config_that_is_no_config(directory: Path, content: bytes) -> None:
    (directory / CONFIG).write_bytes(content)
    set_sums(directory)
    assert CONFIG in refused(directory)


def test_a_config_is_parsed_once_and_belongs_to_whoever_asks(tmp_path: Path, monkeypatch) -> None:
    parsed = []
    monkeypatch.setattr(yaml, "safe_load", lambda text, load=yaml.safe_load: parsed.append(text) or load(text))
    (tmp_path / CONFIG).write_text("own: [1]")
    stored_config(tmp_path)["own"].append(2)
    assert stored_config(tmp_path) == {"own": [1]}
    assert parsed == ["own: [1]"]
    (tmp_path / CONFIG).write_text("own: [3]")
    assert stored_config(tmp_path) == {"own": [3]}


def test_loading_and_scoring_unpickle_nothing(original: Path) -> None:
    ran = run_python(
        """
        import pickle, _pickle, sys

        def refuse(*_, **__):
            raise SystemExit("something was unpickled")

        class Refused:
            __init__ = refuse

        for module in (pickle, _pickle):
            module.load = module.loads = refuse
            module.Unpickler = Refused
        pickle._Unpickler = Refused
        sys.addaudithook(lambda event, _: refuse() if event == "pickle.find_class" else None)
        try:
            pickle.loads(pickle.dumps([1]))
        except SystemExit:
            pass
        else:
            raise AssertionError("the trap does not work")

        import numpy as np
        from inference import model as models
        model = models.load(sys.argv[1])
        samples = 0.1 * np.random.default_rng(0).standard_normal(4000)
        print(model.scorer.full(model.extractor(samples.astype(np.float32))).shape, "torch" in sys.modules)
        """,
        original,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == ["(24,", "5)", "False"]
