"""Recognitions as files. A format is one function from a recognition to its text, entered in `WRITERS` by its name."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from gestures.recognition import Gesture, Recognition
from inference.files import write_text
from inference.times import clock

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
TIER = "gesture"

# What ELAN is told about a recording. Landmark files are not here: it could not play them.
MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".avi": "video/x-msvideo",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".3gp": "video/3gpp",
    ".wmv": "video/x-ms-wmv",
    ".flv": "video/x-flv",
    ".ts": "video/mp2t",
    ".ogv": "video/ogg",
}

# Characters that XML 1.0 cannot hold, not even escaped.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class FormatError(ValueError):
    """The format asked for does not exist."""


def to_json(recognition: Recognition) -> str:
    """All that is known; times are seconds to the millisecond."""
    content = {
        "source": recognition.source,
        "model": recognition.model,
        "duration": round(recognition.duration, 3),
        "gestures": [
            {
                "label": gesture.label,
                "start": round(gesture.start, 3),
                "end": round(gesture.end, 3),
                "confidence": round(gesture.confidence, 4),
            }
            for gesture in recognition.gestures
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def to_csv(recognition: Recognition) -> str:
    """A line for each gesture below a header, quoted as RFC 4180 has it; times are seconds to the millisecond."""
    rows = [["label", "start", "end", "confidence"]]
    for one in recognition.gestures:
        rows.append([one.label, f"{one.start:.3f}", f"{one.end:.3f}", f"{one.confidence:.4f}"])
    return "".join(_csv_line(row) for row in rows)


def to_srt(recognition: Recognition) -> str:
    """Subtitles that show each gesture while it lasts, its label on one line."""
    return "".join(
        f"{number}\n{clock(start)} --> {clock(end)}\n{' '.join(gesture.label.split())}\n\n"
        for number, (start, end, gesture) in enumerate(_in_milliseconds(recognition), start=1)
    )


def to_eaf(recognition: Recognition, folder: str | Path = ".") -> str:
    """An annotation document of ELAN, EAF 3.0, with one tier of gestures and a link to the video.

    Args:
        recognition: Its source is linked where it is a video, as ELAN does it: by its place, and by its place seen from
            the document, so that the two can be moved together.
        folder: Where the document will lie.
    """
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"saywave {recognition.model}".strip(),
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": SCHEMA,
        },
    )
    header = ElementTree.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if Path(recognition.source).suffix.lower() in MEDIA_TYPES:
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", _media(recognition.source, Path(folder)))
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(len(recognition.gestures))

    slots = ElementTree.SubElement(document, "TIME_ORDER")
    tier = ElementTree.SubElement(document, "TIER", {"TIER_ID": TIER, "LINGUISTIC_TYPE_REF": TIER})
    for number, (start, end, gesture) in enumerate(_in_milliseconds(recognition), start=1):
        ids = [f"ts{2 * number - 1}", f"ts{2 * number}"]
        for id, time in zip(ids, (start, end), strict=True):
            ElementTree.SubElement(slots, "TIME_SLOT", {"TIME_SLOT_ID": id, "TIME_VALUE": str(time)})
        references = {"ANNOTATION_ID": f"a{number}", "TIME_SLOT_REF1": ids[0], "TIME_SLOT_REF2": ids[1]}
        annotation = ElementTree.SubElement(tier, "ANNOTATION")
        alignable = ElementTree.SubElement(annotation, "ALIGNABLE_ANNOTATION", references)
        ElementTree.SubElement(alignable, "ANNOTATION_VALUE").text = gesture.label
    ElementTree.SubElement(
        document,
        "LINGUISTIC_TYPE",
        {"LINGUISTIC_TYPE_ID": TIER, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"},
    )
    ElementTree.indent(document)
    text = NOT_XML.sub("\ufffd", ElementTree.tostring(document, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


WRITERS: dict[str, Callable[[Recognition], str]] = {"json": to_json, "csv": to_csv, "srt": to_srt, "eaf": to_eaf}


def write(recognition: Recognition, path: str | Path, format: str) -> None:
    """Write a recognition in one of the formats of `WRITERS`; see `inference.files.write_text` for how.

    Raises `FormatError` where there is no such format.
    """
    if format not in WRITERS:
        raise FormatError(f"no format {format!r}: choose one of {', '.join(WRITERS)}")
    text = to_eaf(recognition, Path(path).parent) if format == "eaf" else WRITERS[format](recognition)
    # Names of files may hold bytes that are no text.
    write_text(path, text.encode("utf-8", "replace").decode("utf-8"))


def _in_milliseconds(recognition: Recognition) -> Iterator[tuple[int, int, Gesture]]:
    """Each gesture with its start and end, at least 1 ms apart, as players and ELAN need, and without overlap."""
    before = 0
    for gesture in recognition.gestures:
        start = max(before, round(1000 * gesture.start))
        before = max(start + 1, round(1000 * gesture.end))
        yield start, before, gesture


def _csv_line(cells: list[str]) -> str:
    text = io.StringIO()
    # With another line end than this one, the writer would not quote a carriage return.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _media(source: str, folder: Path) -> dict[str, str]:
    """Attributes of the link to a video. Paths are not percent-encoded: ELAN takes what follows `file:` as it is."""
    type = MEDIA_TYPES[Path(source).suffix.lower()]
    if "://" in source:
        return {"MEDIA_URL": source, "MIME_TYPE": type}
    place = Path(os.path.abspath(source))  # not resolved: a link that leads to the video may be meant
    link = {"MEDIA_URL": f"file:///{place.as_posix().lstrip('/')}", "MIME_TYPE": type}
    try:
        relative = Path(os.path.relpath(place, folder)).as_posix()
    except ValueError:  # another drive of Windows, to which no relative path leads
        return link
    link["RELATIVE_MEDIA_URL"] = relative if relative.startswith("../") else f"./{relative}"
    return link
