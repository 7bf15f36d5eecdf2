"""One chapter of LibriSpeech: which recordings its folder holds, how long they are, and what is said in them.

Apart from `prepare.py` because worker processes import it, and it imports neither lhotse nor PyTorch.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from features import audio

MOST_PROCESSES = 8  # what is waited for is the disk
LEAST_CHAPTERS = 16  # for each process: to start one takes as long as to read some hundred files


class Utterance(NamedTuple):
    """One recording and its words; it lies at `chapter/id.flac`."""

    id: str
    rate: int
    frames: int
    text: str


class Chapter(NamedTuple):
    """What one folder holds.

    `name` is `speaker/chapter`. The last three name what cannot be used: transcripts without a recording, recordings
    without a transcript, and, as messages, recordings that cannot be read.
    """

    name: str
    utterances: list[Utterance]
    without_sound: list[str]
    without_transcript: list[str]
    damaged: list[str]


def read_chapter(folder: Path) -> Chapter:
    """Read the transcripts of one chapter and the headers of its recordings."""
    speaker, chapter = folder.parent.name, folder.name
    transcripts = folder / f"{speaker}-{chapter}.trans.txt"
    lines = transcripts.read_text(encoding="utf-8").splitlines() if transcripts.is_file() else []
    texts = {id: text.strip() for id, _, text in (line.strip().partition(" ") for line in lines) if id}
    recordings = {path.stem: path for path in sorted(folder.glob("*.flac"))}
    found = Chapter(
        f"{speaker}/{chapter}",
        [],
        without_sound=sorted(texts.keys() - recordings.keys()),
        without_transcript=sorted(recordings.keys() - texts.keys()),
        damaged=[],
    )
    for id, path in recordings.items():
        if id not in texts:
            continue
        try:
            header = audio.info(path)
        except audio.AudioError as error:
            found.damaged.append(str(error))
            continue
        if header.frames is None:
            found.damaged.append(f"{path}: does not say how long it is")
        else:
            found.utterances.append(Utterance(id, header.rate, header.frames, texts[id]))
    return found


def read_chapters(folders: Sequence[Path], *, processes: int) -> Iterator[Chapter]:
    """Read chapters in their order, with several processes where there are many; close it to stop them.

    Args:
        folders: The chapters' folders.
        processes: Processes at most; 0 is one for each core.
    """
    count = min(processes or min(os.cpu_count() or 1, MOST_PROCESSES), len(folders) // LEAST_CHAPTERS)
    if count < 2:
        yield from map(read_chapter, folders)
        return
    # A fork would copy the threads' locks of whoever calls.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_leave_ctrl_c_to_parent) as pool:
        try:
            yield from pool.map(read_chapter, folders, chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)


def _leave_ctrl_c_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
