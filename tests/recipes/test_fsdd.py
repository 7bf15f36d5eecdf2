"""Both forms of fsdd keep to the official split, or to the speaker held out, clip by clip and sample by sample."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asr.borders import beside
from features import audio
from recipes.fsdd import prepare as isolated
from recipes.fsdd_connected import prepare as connected
from recipes.fsdd_connected.prepare import LONGEST, ROUNDS, draw_strings, joined
from training.manifests import Item, ManifestError, read

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def parts(out: Path) -> dict[str, list[Item]]:
    return {part: read(out / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}


@pytest.fixture(scope="module")
def prepared(small_fsdd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `fsdd_connected` makes of the small corpus; a test that takes from it sees it whole again."""
    out = tmp_path_factory.mktemp("connected")
    connected.prepare(small_fsdd, out)
    return out


def joined_clips(out: Path, part: str) -> dict[str, list[str]]:
    """Names of the clips in each string, as the table beside the sound says."""
    _, *rows = (out / "audio" / part / "strings.tsv").read_text(encoding="utf-8").splitlines()
    return {name: clips.split() for name, _, clips, _ in (row.split("\t") for row in rows)}


def test_isolated_digits_keep_the_official_split(small_fsdd: Path, tmp_path: Path) -> None:
    isolated.prepare(small_fsdd, tmp_path)
    found = parts(tmp_path)
    assert {part: len(items) for part, items in found.items()} == {"train": 40, "dev": 100, "test": 100}
    for part, expected in (("test", range(5)), ("dev", range(5, 10)), ("train", range(10, 50))):
        for item in found[part]:
            digit, speaker, number = item.id.split("_")
            assert int(number) in expected
            assert (item.text, item.speaker) == (WORDS[int(digit)], speaker)


def test_official_split_of_the_whole_corpus(shared_data: Path, tmp_path: Path) -> None:
    isolated.prepare(shared_data / "fsdd", tmp_path)
    found = parts(tmp_path)
    assert {part: len(items) for part, items in found.items()} == {"train": 2400, "dev": 300, "test": 300}
    for items in found.values():
        assert len({item.speaker for item in items}) == 6
        assert set(Counter(item.text for item in items)) == set(WORDS)


def test_every_sixth_string_is_what_it_is_among_all(prepared: Path, small_fsdd: Path, tmp_path: Path) -> None:
    chosen = [clip for clip in isolated.clips(small_fsdd) if clip.part == "train"]
    few = joined(chosen, "train", tmp_path, every=6, seed=0)
    all_of_them = parts(prepared)["train"]
    assert len(few) > 5
    expected = [(item.id, item.text, item.speaker) for item in all_of_them[::6]]
    assert [(one.id, one.supervisions[0].text, one.supervisions[0].speaker) for one in few] == expected
    for one in few:
        assert (tmp_path / "audio" / "train" / f"{one.id}.wav").read_bytes() == (
            prepared / "audio" / "train" / f"{one.id}.wav"
        ).read_bytes()
    assert len(list((tmp_path / "audio" / "train").glob("*.wav"))) == len(few)


@pytest.mark.parametrize("recipe", [isolated, connected])
def test_who_is_held_out_neither_trains_nor_chooses(recipe, small_fsdd: Path, tmp_path: Path) -> None:
    recipe.prepare(small_fsdd, tmp_path, held_out="boris")
    found = parts(tmp_path)
    assert {part: {item.speaker for item in items} for part, items in found.items()} == {
        "train": {"anna"},
        "dev": {"anna"},
        "test": {"boris"},
    }
    if recipe is isolated:
        assert {part: len(items) for part, items in found.items()} == {"train": 70, "dev": 50, "test": 120}
    else:
        for part in ("train", "dev", "test"):
            spoken = {clip for clips in joined_clips(tmp_path, part).values() for clip in clips}
            assert all(("_boris_" in clip) == (part == "test") for clip in spoken)


@pytest.mark.parametrize("recipe", [isolated, connected])
def test_a_speaker_who_is_not_there_is_an_error(recipe, small_fsdd: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="held_out is 'clara'; the speakers are anna, boris"):
        recipe.prepare(small_fsdd, tmp_path, held_out="clara")


def test_other_files_are_left_alone_and_none_at_all_is_an_error(tmp_path: Path, small_fsdd: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    with pytest.raises(ManifestError, match=r"corpus: no recordings such as recordings/7_jackson_0\.wav"):
        isolated.clips(corpus)
    for name in ("7_anna_3_copy.wav", "seven_anna_3.wav", "._7_anna_3.wav", "7_anna_3.txt"):
        (corpus / name).write_bytes(b"")
    shutil.copy(small_fsdd / "recordings" / "7_anna_3.wav", corpus / "7_anna_maria_3.wav")
    assert [(clip.digit, clip.speaker, clip.index) for clip in isolated.clips(corpus)] == [(7, "anna_maria", 3)]


def test_every_clip_is_joined_once_a_round_and_into_its_own_part(prepared: Path) -> None:
    for part, expected in (("test", range(5)), ("dev", range(5, 10)), ("train", range(10, 12))):
        strings = joined_clips(prepared, part)
        counts = Counter(clip for clips in strings.values() for clip in clips)
        assert counts == {f"{d}_{s}_{i}": ROUNDS[part] for d in range(10) for s in ("anna", "boris") for i in expected}
        for item in read(prepared / "manifests" / f"{part}.jsonl.gz"):
            clips = strings[item.id]
            assert 1 <= len(clips) <= LONGEST
            assert item.text == " ".join(WORDS[int(clip[0])] for clip in clips)
            assert {clip.split("_")[1] for clip in clips} == {item.speaker}


def test_each_round_by_itself_is_complete(small_fsdd: Path) -> None:
    found = isolated.clips(small_fsdd)
    strings = draw_strings(found, rounds=1, rng=np.random.default_rng(3))
    assert sorted(clip.path.name for string in strings for clip in string) == sorted(clip.path.name for clip in found)
    assert {len(string) for string in strings} == set(range(1, LONGEST + 1))


def test_sound_of_a_string_is_that_of_its_clips_in_order(small_fsdd: Path, prepared: Path) -> None:
    strings = joined_clips(prepared, "test")
    for name, clips in list(strings.items())[:20]:
        whole, rate = audio.read(prepared / "audio" / "test" / f"{name}.wav")
        assert rate == 8000
        end = 0
        for clip in clips:
            samples, _ = audio.read(small_fsdd / "recordings" / f"{clip}.wav")
            start = int(np.argmax(np.correlate(whole, samples, "valid")))
            np.testing.assert_allclose(whole[start : start + len(samples)], samples, atol=1e-4)
            assert start >= end, "clips lie one after another"
            end = start + len(samples)


def test_borders_beside_a_string_are_where_its_clips_sound(tmp_path: Path) -> None:
    quiet, tone = np.zeros(800, dtype=np.float32), np.full(400, 0.5, dtype=np.float32)
    recordings = tmp_path / "fsdd" / "recordings"
    recordings.mkdir(parents=True)
    for digit in range(3):
        audio.write(recordings / f"{digit}_anna_0.wav", np.concatenate([quiet, tone, quiet[: 80 * digit]]), 8000)
    chosen = isolated.clips(tmp_path / "fsdd")
    for cut in joined(chosen, "test", tmp_path / "out", seed=0):
        path = Path(cut.recording.sources[0].source)
        samples, _ = audio.read(path)
        borders = beside(path)
        assert " ".join(border.text for border in borders) == cut.supervisions[0].text
        edges = np.flatnonzero(np.diff(np.concatenate([[0], np.abs(samples) > 0.25, [0]]).astype(int)))
        spoken = np.array([border[1:] for border in borders])
        np.testing.assert_allclose(spoken, edges.reshape(-1, 2) / 8000, atol=2e-4)


def test_clips_that_train_are_trimmed_and_no_others(small_fsdd: Path, prepared: Path, tmp_path: Path) -> None:
    connected.prepare(small_fsdd, tmp_path / "trimmed", trim_ms=20)
    found = {"whole": parts(prepared), "trimmed": parts(tmp_path / "trimmed")}
    for name in ("dev", "test"):
        for one in (prepared / "audio" / name).glob("*.wav"):
            assert one.read_bytes() == (tmp_path / "trimmed" / "audio" / name / one.name).read_bytes()
    assert [item.id for item in found["whole"]["train"]] == [item.id for item in found["trimmed"]["train"]]
    strings = draw_strings(isolated.clips(small_fsdd), rounds=1, rng=np.random.default_rng(0))
    removed = 0
    for string in strings[:10]:
        trimmed = connected.pieces(string, rng=np.random.default_rng(0), trim_seconds=0.02)[1::2]
        for clip, part in zip(string, trimmed, strict=False):
            whole, _ = audio.read(clip.path)
            start = int(np.argmax(np.correlate(whole, part, "valid")))
            np.testing.assert_array_equal(whole[start : start + len(part)], part)
            assert start <= 160
            assert len(whole) - start - len(part) <= 160
            removed += len(whole) - len(part)
    assert removed > 0


def test_a_second_preparation_writes_no_sound_and_the_same_manifests(small_fsdd: Path, prepared: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (prepared / "audio").rglob("*.*")}
    first = parts(prepared)
    connected.prepare(small_fsdd, prepared)
    assert {path: path.stat().st_mtime_ns for path in (prepared / "audio").rglob("*.*")} == before
    assert parts(prepared) == first


def test_what_an_interrupted_preparation_left_out_is_made(small_fsdd: Path, prepared: Path) -> None:
    path = next((prepared / "audio" / "dev").glob("*.wav"))
    sound = path.read_bytes()
    path.unlink()
    connected.prepare(small_fsdd, prepared)
    assert path.read_bytes() == sound


def test_other_strings_do_not_take_over_old_sound(small_fsdd: Path, tmp_path: Path) -> None:
    chosen = [clip for clip in isolated.clips(small_fsdd) if clip.part == "test"]
    for seed in (0, 1):
        cuts = joined(chosen, "test", tmp_path / "used twice", seed=seed)
        fresh = joined(chosen, "test", tmp_path / f"fresh {seed}", seed=seed)
        assert [(cut.id, cut.duration) for cut in cuts] == [(cut.id, cut.duration) for cut in fresh]
        for ours, theirs in zip(cuts, fresh, strict=True):
            mine, new = (Path(cut.recording.sources[0].source).read_bytes() for cut in (ours, theirs))
            assert mine == new
            mine, new = (beside(cut.recording.sources[0].source) for cut in (ours, theirs))
            assert mine == new
    for kind in ("*.wav", "*.ctm"):
        assert len(list((tmp_path / "used twice").rglob(kind))) == len(cuts)
