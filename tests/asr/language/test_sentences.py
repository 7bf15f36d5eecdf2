"""Sentences from every kind of text, in the form that models write."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.language.sentences import Pieces, SentenceError, read
from asr.text import normalize
from asr.tokens import SPACE, TokenConfig, Tokens

LINES = ["Well-known, isn't it?", "", "  नमस्ते\u2028שלום!  ", "...", "O.K."]
SENTENCES = [["well", "known", "isn't", "it"], ["नमस्ते", "שלום"], ["ok"]]


@given(st.text(st.sampled_from("aIßΣσς'’.-·\"<>\u0301\u0307\u200b\u200d\u00ad\u2028\x1c \t") | st.characters()))
def test_words_and_letters_are_those_that_labels_are_made_of(text: str) -> None:
    assert Pieces("word")(text) == normalize(text).split()
    letters = Pieces("letter")(text)
    if letters:
        tokens = Tokens.from_texts([text], TokenConfig(unit="char"))
        assert letters == [tokens.labels[label] for label in tokens.encode(text)]
    else:
        assert normalize(text) == ""


def test_known_words_are_read_alike_the_second_time() -> None:
    pieces = Pieces("letter")
    assert pieces("No, no.") == pieces("no no") == ["n", "o", SPACE, "n", "o"]
    assert pieces("no") == ["n", "o"]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "noending", "b.gz.txt"])
def test_text_has_a_sentence_a_line(tmp_path: Path, name: str) -> None:
    content = "\ufeff".encode() + "\r\n".join(LINES).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if "gz" in name else content)
    assert list(read([tmp_path / name])) == SENTENCES


def test_manifests_of_cuts_and_of_supervisions(tmp_path: Path) -> None:
    supervisions = [{"id": str(k), "start": 0, "duration": 1, "text": line} for k, line in enumerate(LINES)]
    cuts = [{"id": "a", "supervisions": supervisions[:2]}, {"id": "b", "supervisions": supervisions[2:]}]
    cuts.append({"id": "c", "supervisions": []})
    for name, entries in (("cuts.jsonl.gz", cuts), ("supervisions.jsonl", supervisions)):
        content = "\n".join([*map(json.dumps, entries), ""]).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(read([tmp_path / "cuts.jsonl.gz"])) == [SENTENCES[0], [*SENTENCES[1], *SENTENCES[2]]]
    assert list(read([tmp_path / "supervisions.jsonl"])) == SENTENCES


def test_a_manifest_that_training_reads_is_read(tmp_path: Path) -> None:
    manifests = pytest.importorskip("training.manifests", reason="needs lhotse")
    cuts = [manifests.cut_of_length(str(k), "a.wav", line, rate=8000, frames=8000) for k, line in enumerate(LINES)]
    path = manifests.write(tmp_path / "cuts.jsonl.gz", cuts)
    assert list(read([path])) == SENTENCES


def test_tables_and_folders(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("path\ttext\na.wav\t\"Yes\nb.wav\tno'\n", encoding="utf-8")
    assert list(read([tmp_path / "t.tsv"])) == [["yes"], ["no"]]
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress((tmp_path / "t.tsv").read_bytes()))
    assert list(read([tmp_path / "t.tsv.gz"])) == [["yes"], ["no"]]
    for name in ("b.txt", "deep/a.txt", "deep/a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name[:-4], encoding="utf-8")
    assert list(read([tmp_path])) == [["b"], ["deep", "a"]]


def test_progress_counts_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word\n" * 5000, encoding="utf-8")
    told: list[int] = []
    assert len(list(read([tmp_path / "a.txt"], progress=told.append))) == 5000
    assert len(told) > 3
    assert sum(told) == 25_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"good\nbad \xff\n", "line 2: is not text in UTF-8"),
        ("a.txt", "good".encode("utf-16"), "line 1: is not text in UTF-8"),
        ("a.txt", b"one\ntwo <s> three", "line 2: <s> and </s> are no words"),
        ("a.txt.gz", gzip.compress(b"good\n" * 1000, mtime=0)[:-9], "damaged .*fetch or make the file again"),
        ("a.jsonl", b'{"supervisions": []}\nplain text', "line 2: not of a lhotse manifest"),
        ("a.jsonl", b'{"id": "recording"}', "line 1: not of a lhotse manifest"),
        ("a.jsonl", b'{"supervisions": [{"text": 3}]}', "line 1: not of a lhotse manifest"),
        ("a.jsonl", b"[1, 2]", "line 1: not of a lhotse manifest"),
        ("a.jsonl", b"7", "line 1: not of a lhotse manifest"),
        ("a.tsv", b"path\twords\na\tb", "must name the columns"),
        ("a.tsv", b"", "must name the columns"),
        ("a.tsv", b"path\ttext\na.wav", "line 2: lacks its text"),
        ("a.tsv", b"path\ttext\na.wav\t" + b"a" * 200_000, "after line 1: field larger"),
    ],
)
def test_what_is_no_text_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SentenceError, match=message) as error:
        list(read([path]))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_an_empty_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SentenceError, match=r"no \.txt files in this folder"):
        list(read([tmp_path]))
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        list(read([tmp_path / "absent.txt"]))
