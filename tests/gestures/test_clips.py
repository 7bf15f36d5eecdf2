"""A folder of clips: labels, signers, what is refused, and how it is divided."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from features import landmark_files
from gestures.clips import MIN_CLIPS, ClipError, enough, load, read_clips
from training.manifests import Item, Segment, landmark_cut, write


def item(number: int, *labels: str, signer: str = "") -> Item:
    segments = tuple(Segment(float(k), k + 1.0, label) for k, label in enumerate(labels))
    return Item(str(number), "x.pose", 0.0, float(len(labels)), " ".join(labels), signer, segments)


def test_labels_are_folders_and_signers_are_in_the_names(clip_folder, tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "clips", 6, labels=("wave", "none"), signers=("anna", "ben"))
    read = read_clips(folder, tmp_path / "landmarks")
    assert read.labels == {"none": 6, "wave": 6}
    assert read.signers == {"anna": 6, "ben": 6}
    assert (read.failed, read.notes) == ([], [])
    assert read.summary() == "2 labels: none (6), wave (6)\n2 signers: anna (6), ben (6)"
    first = next(one for one in read.items if one.text == "wave")
    whole = landmark_files.read(first.path)
    assert first.id == "wave/anna_0.pose"
    assert first.segments == (Segment(0.0, whole.duration, "wave"),)
    assert first.duration == pytest.approx(1.2)
    assert len(whole.between(first.start, first.start + first.duration)) == len(whole)
    assert not (tmp_path / "landmarks").exists(), "nothing had to be extracted"


def test_a_clip_that_does_not_begin_at_zero_is_whole(clip, tmp_path: Path) -> None:
    (tmp_path / "wave").mkdir()
    landmark_files.write(tmp_path / "wave" / "late.npz", clip("wave").moved(100.0))
    [one] = read_clips(tmp_path, tmp_path / "landmarks").items
    assert one.start == 100.0
    assert one.segments == (Segment(0.0, one.duration, "wave"),)


@pytest.mark.parametrize(
    ("names", "signers"),
    [
        (["a/anna_1", "b/ben_22"], {"anna": 1, "ben": 1}),
        (["a/s01_1", "b/s02_001"], {"s01": 1, "s02": 1}),
        (["a/zoë_1", "b/王_2"], {"zoë": 1, "王": 1}),
        (["a/anna_1", "b/clip"], {}),  # not all of them
        (["a/anna_1", "b/a_1"], {}),  # a label's name is nobody's
        (["wave/Wave_1", "stop/stop_1"], {}),
        (["a/VID_20250311_120000", "b/VID_20250311_120100"], {}),
        (["a/20250311_120000", "b/20250311_120100"], {}),
        (["a/anna-1", "b/ben-2"], {}),
    ],
)
def test_who_is_a_signer_by_name(clip, tmp_path: Path, names: list[str], signers: dict[str, int]) -> None:
    for name in names:
        path = tmp_path / f"{name}.npz"
        path.parent.mkdir(exist_ok=True)
        landmark_files.write(path, clip("wave"))
    assert read_clips(tmp_path, tmp_path / "landmarks").signers == signers


def test_what_cannot_be_used_is_left_out_and_named(clip, clip_folder, tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "clips", 2, labels=("wave", "none"))
    (folder / "wave" / "broken.pose").write_bytes(b"no landmarks")
    for label in ("wave", "none"):
        seen = clip(label)
        unseen = seen.with_frames(seen.coordinates_TKC, 0 * seen.presence_TK, seen.time_T)
        landmark_files.write(folder / label / "nobody.npz", unseen)
        landmark_files.write(folder / label / "short.npz", seen[:0])
    read = read_clips(folder, tmp_path / "landmarks")
    assert read.labels == {"none": 3, "wave": 2}, "nobody there is no gesture"
    failed = sorted(line.removeprefix(f"{folder}/") for line in read.failed)
    assert [line.split(": ")[0] for line in failed] == [
        "none/short.npz",
        "wave/broken.pose",
        "wave/nobody.npz",
        "wave/short.npz",
    ]
    assert failed[2].endswith("nobody is seen in it; record it again, or remove it")
    assert failed[3].endswith("holds no frames; remove it")


def test_videos_become_landmarks_elsewhere_and_once(short_video, tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    short_video(folder / "wave" / "anna_1.mp4", frames=3)
    (folder / "wave" / "ben_1.mp4").write_text("hello")
    read = read_clips(folder, out, jobs=1)
    [one] = read.items
    assert (one.text, one.speaker) == ("wave", "anna")
    assert Path(one.path) == out / "wave" / "anna_1.pose"
    assert len(read.failed) == 1
    assert "ben_1.mp4: is a text file, not a video" in read.failed[0]
    assert sorted(path.name for path in folder.rglob("*.*")) == ["anna_1.mp4", "ben_1.mp4"]
    made = (out / "wave" / "anna_1.pose").stat().st_mtime_ns
    assert read_clips(folder, out, jobs=1).items == read.items
    assert (out / "wave" / "anna_1.pose").stat().st_mtime_ns == made


def test_other_layouts_are_refused_with_the_right_one(clip_folder, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="nowhere: no such folder"):
        read_clips(tmp_path / "nowhere", tmp_path / "landmarks")
    with pytest.raises(ClipError, match=r"no clips in this folder \(looked for .*\.mp4.*\.pose"):
        read_clips(tmp_path, tmp_path / "landmarks")
    folder = clip_folder(tmp_path / "clips", 1, labels=("wave",))
    clip = next(folder.rglob("*.pose"))
    for place in (folder, folder / "wave" / "deeper"):
        place.mkdir(exist_ok=True)
        shutil.copy(clip, place / "x.pose")
        with pytest.raises(ClipError, match=r"x\.pose: clips belong into a folder of their label: .*LABEL/x\.pose"):
            read_clips(folder, tmp_path / "landmarks")
        (place / "x.pose").unlink()


def test_a_manifest_will_do(clip, tmp_path: Path) -> None:
    landmark_files.write(tmp_path / "a.npz", clip("wave", seconds=4))
    segments = [Segment(0.5, 1.5, "wave"), Segment(2.0, 3.5, "stop")]
    manifest = write(
        tmp_path / "all.jsonl.gz", [landmark_cut("a", tmp_path / "a.npz", segments, duration=4.0, signer="anna")]
    )
    read = load(manifest, tmp_path / "landmarks")
    assert read.labels == {"stop": 1, "wave": 1}
    assert read.signers == {"anna": 1}
    assert read.items[0].segments == tuple(segments)


def test_data_of_other_kinds_are_refused(tmp_path: Path) -> None:
    from training.manifests import cut_of_length

    speech = write(tmp_path / "speech.jsonl.gz", [cut_of_length("a", "a.wav", "yes", rate=8000, frames=8000)])
    with pytest.raises(ClipError, match=r"speech\.jsonl\.gz: holds no gestures; a manifest of speech is for `asr`"):
        load(speech, tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ClipError, match=r"notes\.txt: neither a folder of clips \(LABEL/CLIP\) nor a .jsonl"):
        load(tmp_path / "notes.txt", tmp_path)
    with pytest.raises(ClipError, match="nowhere: no such file or folder"):
        load(tmp_path / "nowhere", tmp_path)


def test_too_few_clips_are_all_named_with_the_number_needed() -> None:
    items = [item(k, label) for label, count in {"a": 4, "b": 5, "c": 1, "none": 1}.items() for k in range(count)]
    with pytest.raises(ClipError, match=r"^clips: each gesture needs 5 clips at least, and a has 4, c has 1: record"):
        enough(items, source="clips")
    enough([item(k, "b") for k in range(MIN_CLIPS)] + [item(9, "none")], source="clips")
    with pytest.raises(ClipError, match="no clips of a gesture are left"):
        enough([item(k, "none") for k in range(9)], source="clips")
