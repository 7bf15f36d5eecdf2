"""Names and folders of results: nothing clashes, and nobody's file is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.outputs import OutputError, keep_originals, make_folder, output_names


@pytest.mark.parametrize(
    "sources",
    [
        ["a.wav", "b.wav"],
        ["x/a.wav", "y/a.wav"],
        ["a.wav", "a.flac"],
        ["x/a.wav", "x/a.flac", "y/a.wav"],
        ["p/x/a.wav", "q/x/a.wav", "a.wav"],
        ["/p/x/a.wav", "/q/x/a.wav", "-"],
        ["x_a.wav", "x/a.wav", "a.wav"],
        ["stdin.wav", "-"],
        ["a.wav", "x/a.wav.wav", "y/a.wav"],
        ["x/a.wav", "y/a.wav", "x_a.wav.wav"],
        ["p_q/x/a.wav", "p/q/x/a.wav"],
        ["p_q/x/a.wav", "p/q/x/a.wav", "p/q_x/a.wav", "p_q_x_a.wav_2.wav"],
    ],
)
def test_names_of_transcripts_are_as_many_as_the_sources(sources: list[str]) -> None:
    names = output_names(sources)
    assert list(names) == sources
    assert len(set(names.values())) == len(sources)
    assert not any(set("/\\") & set(name) for name in names.values())


def test_a_folder_is_made_and_a_file_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "not" / "yet")
    assert (tmp_path / "not" / "yet").is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file: is a file; give a folder to --output"):
        make_folder(tmp_path / "file")
    with pytest.raises(OSError, match="Not a directory"):
        make_folder(tmp_path / "file" / "below")


def test_only_what_stands_beside_its_source_is_kept(tmp_path: Path) -> None:
    for name in ("a.wav", "a.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("an earlier result")
    keep_originals(tmp_path / "texts", {str(tmp_path / "a.wav"): "a.txt", "-": "stdin.txt"}, what="the recording")
    with pytest.raises(OutputError, match=r"a\.txt: is there already, beside the recording; give another folder"):
        keep_originals(tmp_path, {str(tmp_path / "a.wav"): "a.txt"}, what="the recording")
