"""Formats as independent readers see them: csv, json, srt and pympi for ELAN's documents."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gestures.formats import WRITERS, FormatError, to_csv, to_eaf, to_json, to_srt, write
from gestures.recognition import Gesture, Recognition

LABELS = [
    "wave",
    'a, "b"; c',
    "größer\tals ß",
    "<b>stop</b> & go",
    "two\nlines",
    "two\n\nparagraphs",
    "你好 שלום",
    "  spaces ",
    "-->",
]
HARD = Recognition(
    tuple(Gesture(label, k + 0.1234, k + 0.9876, 0.98765) for k, label in enumerate(LABELS)),
    duration=12.3456,
    model="hand-points",
    source="clips/über uns, 1.mp4",
)
EMPTY = Recognition((), duration=0.0)


@st.composite
def recognitions(draw: st.DrawFn) -> Recognition:
    """Gestures one after the other, some of no length, with any letters that there are in their labels."""
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    parts = draw(st.lists(st.tuples(text, st.floats(0, 2000), st.floats(0, 3), st.floats(0, 1)), max_size=8))
    now, gestures = 0.0, []
    for label, pause, length, confidence in parts:
        gestures.append(Gesture(label, now + pause, now + pause + length, confidence))
        now += pause + length
    return Recognition(tuple(gestures), now + 1, "model", "a.mp4")


def eaf(folder: Path, recognition: Recognition):
    """What pympi makes of the document, read from a file."""
    elan = pytest.importorskip("pympi.Elan", reason="no pympi: pip install pympi-ling")
    write(recognition, folder / "a.eaf", "eaf")
    return elan.Eaf(str(folder / "a.eaf"))


@given(recognitions())
def test_json_holds_everything(recognition: Recognition) -> None:
    content = json.loads(to_json(recognition))
    assert (content["source"], content["model"]) == (recognition.source, recognition.model)
    assert content["duration"] == pytest.approx(recognition.duration, abs=0.0005001)
    assert [one["label"] for one in content["gestures"]] == [one.label for one in recognition.gestures]
    for one, gesture in zip(content["gestures"], recognition.gestures, strict=True):
        assert [one["start"], one["end"]] == pytest.approx([gesture.start, gesture.end], abs=0.0005001)
        assert one["confidence"] == pytest.approx(gesture.confidence, abs=0.00005001)


def test_json_by_hand() -> None:
    content = json.loads(to_json(HARD))
    assert list(content) == ["source", "model", "duration", "gestures"]
    assert content["gestures"][0] == {"label": "wave", "start": 0.123, "end": 0.988, "confidence": 0.9877}
    assert "größer" in to_json(HARD), "letters are written as they are, not escaped"
    assert json.loads(to_json(EMPTY))["gestures"] == []


@given(recognitions())
@example(Recognition((Gesture("\r", 0.0, 1.0, 1.0), Gesture("a\r\nb", 1.0, 2.0, 1.0)), 2.0))
def test_csv_reads_back(recognition: Recognition) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(recognition), newline="")))
    assert [row["label"] for row in rows] == [gesture.label for gesture in recognition.gestures]
    for row, gesture in zip(rows, recognition.gestures, strict=True):
        times = [float(row["start"]), float(row["end"])]
        assert times == pytest.approx([gesture.start, gesture.end], abs=0.0005001)
        assert float(row["confidence"]) == pytest.approx(gesture.confidence, abs=0.00005001)


def test_csv_by_hand() -> None:
    lines = to_csv(HARD).split("\n")
    assert lines[:3] == [
        "label,start,end,confidence",
        "wave,0.123,0.988,0.9877",
        '"a, ""b""; c",1.123,1.988,0.9877',
    ]
    assert to_csv(EMPTY) == "label,start,end,confidence\n"


def test_srt_is_read_by_another() -> None:
    srt = pytest.importorskip("srt", reason="no srt: pip install srt")
    found = list(srt.parse(to_srt(HARD)))
    assert [one.content for one in found] == [" ".join(label.split()) for label in LABELS]
    assert [one.index for one in found] == list(range(1, len(LABELS) + 1))
    assert (found[1].start, found[1].end) == (timedelta(seconds=1.123), timedelta(seconds=1.988))
    assert to_srt(EMPTY) == ""


def test_srt_of_a_long_recording() -> None:
    day = Recognition((Gesture("a", 3599.9996, 3600.0, 1.0), Gesture("b", 86399.5, 100000.0, 1.0)), 100000.0)
    assert to_srt(day) == (
        "1\n01:00:00,000 --> 01:00:00,001\na\n\n"  # never without length
        "2\n23:59:59,500 --> 27:46:40,000\nb\n\n"
    )


def test_eaf_is_read_by_pympi(tmp_path: Path) -> None:
    document = eaf(tmp_path, HARD)
    assert list(document.get_tier_names()) == ["gesture"]
    found = document.get_annotation_data_for_tier("gesture")
    assert [one[:2] for one in found] == [(1000 * k + 123, 1000 * k + 988) for k in range(len(LABELS))]
    assert [one[2] for one in found] == LABELS
    assert eaf(tmp_path, EMPTY).get_annotation_data_for_tier("gesture") == []


@given(recognition=recognitions())
def test_eaf_holds_what_elan_needs(recognition: Recognition) -> None:
    root = ElementTree.fromstring(to_eaf(recognition).encode())
    order = [child.tag for child in root]
    assert order == ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"], "the schema has them in this order"
    assert {"AUTHOR", "DATE", "FORMAT", "VERSION"} <= set(root.attrib)
    times = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    assert list(times.values()) == sorted(times.values()), "slots come in the order of time"
    assert len(times) == 2 * len(recognition.gestures)
    ends = [0]
    for annotation in root.iter("ALIGNABLE_ANNOTATION"):
        start, end = (times[annotation.get(f"TIME_SLOT_REF{k}")] for k in (1, 2))
        assert ends[-1] <= start < end, "annotations of a tier have a length and do not overlap"
        ends.append(end)
    values = [value.text for value in root.iter("ANNOTATION_VALUE")]
    plain = [
        re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", g.label) for g in recognition.gestures
    ]
    assert values == [re.sub("\r\n?", "\n", label) for label in plain]  # as XML reads line ends
    types = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")} <= types
    assert root.find("HEADER/PROPERTY").text == str(len(recognition.gestures))


@pytest.mark.parametrize(
    ("source", "document", "relative"),
    [
        ("clip.mp4", "clip.eaf", "./clip.mp4"),
        ("videos/mein Clip, 1.MOV", "out/ä/clip.eaf", "../../videos/mein Clip, 1.MOV"),
        ("videos/clip.webm", "videos/clip.eaf", "./clip.webm"),
    ],
)
def test_eaf_finds_the_video_from_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, document: str, relative: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path(source), Path(document)):
        path.parent.mkdir(parents=True, exist_ok=True)
    Path(source).write_bytes(b"")
    write(Recognition((), 1.0, "m", source), document, "eaf")
    link = ElementTree.parse(document).find("HEADER/MEDIA_DESCRIPTOR").attrib
    assert link["RELATIVE_MEDIA_URL"] == relative
    assert (Path(document).parent / relative).samefile(source)
    assert Path(link["MEDIA_URL"].removeprefix("file://")).samefile(source)
    assert link["MIME_TYPE"].startswith("video/")


def test_eaf_links_an_address_as_it_is_and_landmarks_not_at_all() -> None:
    camera = Recognition((), 1.0, "m", "https://example.org/a.mp4")
    link = ElementTree.fromstring(to_eaf(camera).encode()).find("HEADER/MEDIA_DESCRIPTOR").attrib
    assert link == {"MEDIA_URL": "https://example.org/a.mp4", "MIME_TYPE": "video/mp4"}
    for source in ("clip.pose", "clip.npz", "0", ""):
        root = ElementTree.fromstring(to_eaf(Recognition((), 1.0, "m", source)).encode())
        assert root.find("HEADER/MEDIA_DESCRIPTOR") is None


@pytest.mark.parametrize("format", WRITERS)
def test_files_hold_what_the_format_gives_in_utf8(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format}"
    write(HARD, path, format)

    def undated(text: str) -> str:
        return re.sub('(DATE|MEDIA_URL)="[^"]*"', "", text)

    assert undated(path.read_bytes().decode("utf-8")) == undated(WRITERS[format](HARD))
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("format", WRITERS)
def test_a_name_that_is_no_text_can_be_written(tmp_path: Path, format: str) -> None:
    name = os.fsdecode(b"clip\xff\x01.mp4")
    write(Recognition((Gesture(name, 0.0, 1.0, 0.5),), 1.0, "m", name), tmp_path / "a", format)
    text = (tmp_path / "a").read_text(encoding="utf-8")
    if format == "eaf":
        assert ElementTree.fromstring(text.encode()).findtext(".//ANNOTATION_VALUE") == "clip\ufffd\ufffd.mp4"
    assert "clip" in text


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="'doc': choose one of json, csv, srt, eaf"):
        write(HARD, tmp_path / "a.doc", "doc")
    assert not os.listdir(tmp_path)


def test_gestures_that_overlap_are_a_mistake_of_the_program() -> None:
    with pytest.raises(AssertionError, match="begins before"):
        Recognition((Gesture("a", 0.0, 2.0, 1.0), Gesture("b", 1.0, 3.0, 1.0)), 3.0)
    with pytest.raises(AssertionError, match="times of"):
        Gesture("a", 2.0, 1.0, 1.0)
    with pytest.raises(AssertionError, match="confidence of"):
        Gesture("a", 1.0, 2.0, 1.5)
