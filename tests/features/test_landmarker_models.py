"""The models of the landmarker: made from a wheel that pip fetches, against MediaPipe's own reader of networks."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from features import landmarker_models
from features.landmarker_models import HAND, POSE, bar, cache_folder, ensure
from features.landmarks import LandmarkError
from features.tflite import NetworkError, with_metadata, with_scaling

ENSURE = """if True:
    import sys
    from features.landmarker_models import LandmarkError, ensure
    done = []
    try:
        ensure(progress=done.append)
    except LandmarkError as error:
        print(error)
    else:
        print("made" if done else "there")
        assert done == sorted(done) and (not done or done[-1] == 1.0), done
"""

# pip without the settings of this machine, and with nowhere to fetch from.
OFFLINE = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}


def run(cache: Path, *, before: str = "", limit: int | None = None, **env: str) -> str:
    """What `ensure` says in another process."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", f"{before}\n{ENSURE}"],
        env={name: value for name, value in os.environ.items() if not name.startswith("PIP_") or not env}
        | {"XDG_CACHE_HOME": str(cache)}
        | env,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    (line,) = ran.stdout.splitlines()
    return line


def only_models(cache: Path) -> bool:
    return sorted(path.name for path in (cache / "saywave" / "landmarkers").iterdir()) == [HAND, POSE]


def sums(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (HAND, POSE)}


# ---------------------------------------------------------------- made from the wheel


def test_they_are_made_again_when_damaged(tmp_path, landmarker_models) -> None:
    # Made with: python -c 'from features.landmarker_models import ensure; print(ensure())'; sha256sum
    expected = {
        HAND: "d4263399c5640ecb4b27e7804ac4d811bf5ee33b1443d978c5b3b1678fee69fd",
        POSE: "961b24ea720917ada4405d792c17744bd8c6a6c7f1fd32310c0ded5d9eaf0869",
    }
    assert sums(landmarker_models) == expected
    folder = tmp_path / "saywave" / "landmarkers"
    shutil.copytree(landmarker_models, folder)
    assert run(tmp_path, **OFFLINE) == "there"
    (folder / HAND).write_bytes((folder / HAND).read_bytes()[:-1])
    assert run(tmp_path, **OFFLINE).startswith("the landmark models cannot be fetched: ")
    assert run(tmp_path) == "made"
    assert sums(folder) == expected
    assert only_models(tmp_path)


@pytest.mark.slow
def test_two_processes_at_once(tmp_path, landmarker_models) -> None:
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-P", "-c", ENSURE], env=env, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == [b"made\n"] * 2
    assert only_models(tmp_path)
    assert sums(tmp_path / "saywave" / "landmarkers") == sums(landmarker_models)


def test_without_an_index(tmp_path) -> None:
    instead = (
        "check the network and start again, or give a folder with the official hand_landmarker.task and "
        "pose_landmarker.task: --landmarker-models DIR"
    )
    for env in (OFFLINE, {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}):
        said = run(tmp_path, **env)
        assert said.startswith("the landmark models cannot be fetched: pip did not get mediapipe==0.10.21 (")
        assert said.endswith(instead)
        assert list((tmp_path / "saywave" / "landmarkers").iterdir()) == []
    assert "onnection" in said


def test_without_pip(tmp_path) -> None:
    said = run(tmp_path, before="import sys; sys.modules['pip'] = None")
    assert said.startswith("the landmark models are fetched with pip, which this Python does not have: ")
    assert " -m ensurepip, or give a folder " in said


def test_another_wheel_of_the_name_is_refused(tmp_path) -> None:
    info = "mediapipe-0.10.21.dist-info"
    with zipfile.ZipFile(tmp_path / "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    said = run(tmp_path, **OFFLINE, PIP_FIND_LINKS=str(tmp_path))
    assert "what pip fetched as mediapipe==0.10.21 is another file than the one that was published" in said
    assert list((tmp_path / "saywave" / "landmarkers").iterdir()) == []


def test_no_room_and_no_folder(tmp_path, landmarker_models) -> None:
    said = run(tmp_path, limit=1_000_000)
    assert said.startswith(f"{tmp_path}/saywave/landmarkers: the landmark models cannot be written: there is no room")
    assert "let XDG_CACHE_HOME name a folder elsewhere" in said
    assert list((tmp_path / "saywave" / "landmarkers").iterdir()) == []
    (tmp_path / "file").touch()
    assert "cannot be written: Not a directory: " in run(tmp_path / "file")


def test_networks_that_come_out_differently_are_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        for part in landmarker_models._NETWORKS[HAND].values():
            wheel.writestr(f"mediapipe/modules/{part}.tflite", b"another network")
    with pytest.raises(LandmarkError, match=r"hand_landmarker\.task: has come out differently than it must"):
        landmarker_models._pack(tmp_path / "a.whl", HAND, tmp_path / HAND)


@pytest.mark.parametrize(
    ("platform", "env", "folder"),
    [
        ("linux", {}, "/people/ann/.cache"),
        ("linux", {"XDG_CACHE_HOME": "/big"}, "/big"),
        ("darwin", {}, "/people/ann/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "/people/ann/AppData/Local"),
    ],
)
def test_the_cache_folder(monkeypatch, platform, env, folder) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/people/ann"} | env).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(folder) / "saywave" / "landmarkers"


def test_the_bar_is_for_terminals(capsys) -> None:
    with bar() as report:
        report(0.5)
        report(1.0)
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------- a folder that is given


def test_a_given_folder(tmp_path, landmarker_models) -> None:
    assert ensure(landmarker_models) == landmarker_models
    advice = "put MediaPipe's official file of this name there, or leave out --landmarker-models"

    def refused(said: str) -> None:
        with pytest.raises(LandmarkError) as raised:
            ensure(tmp_path)
        assert str(raised.value) == f"{said}: {advice}"

    refused(f"{tmp_path / HAND}: no such file")
    shutil.copy(landmarker_models / HAND, tmp_path)
    refused(f"{tmp_path / POSE}: no such file")
    (tmp_path / POSE).write_text("page not found")
    refused(f"{tmp_path / POSE}: cannot be read, or is no model of MediaPipe")
    shutil.copy(landmarker_models / HAND, tmp_path / POSE)
    refused(f"{tmp_path / POSE}: is another model, without pose_detector.tflite")
    shutil.copy(landmarker_models / POSE, tmp_path)
    assert ensure(tmp_path) == tmp_path


# ---------------------------------------------------------------- metadata in a network


def tree(value: object) -> object:
    """Objects of the library flatbuffers as dictionaries that can be compared."""
    if hasattr(value, "__dict__"):
        return {name: tree(part) for name, part in vars(value).items()}
    if isinstance(value, list):
        return [tree(part) for part in value]
    return value.tobytes() if isinstance(value, np.ndarray) else value


def unpacked(network: bytes) -> dict:
    schema = pytest.importorskip("mediapipe.tasks.metadata.schema_py_generated")
    return tree(schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(network, 0)))


def networks(landmarker_models: Path) -> dict[str, bytes]:
    parts = {}
    for name in (HAND, POSE):
        with zipfile.ZipFile(landmarker_models / name) as archive:
            parts |= {part: archive.read(part) for part in archive.namelist()}
    return parts


def test_a_network_keeps_all_it_has_and_gets_a_block_more(landmarker_models) -> None:
    meta = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")
    for network in networks(landmarker_models).values():
        before, after = unpacked(network), unpacked(with_scaling(network, mean=1.5, std=255.0))
        block = after["buffers"].pop()["data"]
        assert after["metadata"].pop() == {"name": b"TFLITE_METADATA", "buffer": len(before["buffers"])}
        assert after == before
        model = tree(meta.ModelMetadataT.InitFromObj(meta.ModelMetadata.GetRootAsModelMetadata(block, 0)))
        assert (model["minParserVersion"], len(model["subgraphMetadata"])) == (b"1.0.0", 1)
        (tensor,) = model["subgraphMetadata"][0]["inputTensorMetadata"]
        assert tensor["content"]["contentPropertiesType"] == meta.ContentProperties.ImageProperties
        assert tensor["content"]["contentProperties"]["colorSpace"] == meta.ColorSpaceType.RGB
        (unit,) = tensor["processUnits"]
        assert unit["optionsType"] == meta.ProcessUnitOptions.NormalizationOptions
        assert np.frombuffer(unit["options"]["mean"], np.float32).tolist() == [1.5]
        assert np.frombuffer(unit["options"]["std"], np.float32).tolist() == [255.0]


def test_data_stay_aligned(landmarker_models) -> None:
    schema = pytest.importorskip("mediapipe.tasks.metadata.schema_py_generated")
    network = networks(landmarker_models)["hand_detector.tflite"]
    for size in (1, 15, 16, 17):
        block = bytes(range(size))
        after = with_metadata(network, block)
        assert after.endswith(network)
        assert (len(after) - len(network)) % 16 == 0
        assert schema.Model.ModelBufferHasIdentifier(after, 0)
        model = schema.Model.GetRootAsModel(after, 0)
        buffer = model.Buffers(model.BuffersLength() - 1)
        assert buffer.DataAsNumpy().tobytes() == block
        assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_what_is_no_network() -> None:
    for data in (b"", b"no network at all", b"\xff\xff\xff\x7fTFL3" + bytes(40), b"\x08\0\0\0TFL3\0"):
        with pytest.raises(NetworkError, match="TFLite network"):
            with_scaling(data, mean=0.0, std=1.0)
