"""Many files to transcripts: what `asr transcribe` does, with progress, and without one bad file stopping the rest."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asr.formats import suffix
from asr.progress import AudioProgress
from asr.shipped import find
from asr.shipped import names as shipped_names
from asr.sources import InputError, expand, is_finished, seconds
from asr.task import Heard, Recording, Settings, Transcriber, as_text
from asr.together import AT_ONCE, InBatches
from inference.files import sweep
from inference.outputs import keep_originals, make_folder, output_names
from inference.shell import ended
from inference.workers import Failure, Here, Pool, Processes, WorkerError

if TYPE_CHECKING:
    from rich.console import Console

# A disk that is full, or a share of it, does not become empty by going on.
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Workers:
    """Who does it: so many processes, or the Ray cluster at an address."""

    jobs: int = 1
    ray: str | None = None


def transcribe_files(
    files: Sequence[str], settings: Settings, *, workers: Workers = Workers(), overwrite: bool = False
) -> int:
    """Transcribe files, folders and patterns, to standard output or to `output/NAME.FORMAT` for each of the formats.

    With an output folder, recordings are passed over whose transcripts are there and newer than the recording, the
    model and the language model. Where the disk is full nothing more is begun.

    Args:
        files: Sound files, folders of them, patterns, and `-` for standard input.
        settings: What is done with each.
        workers: Who does it.
        overwrite: Pass over none.

    Returns:
        0 if all went well, 2 if the only file failed, 1 if some of several did; those are listed on standard error.

    Raises:
        InputError: there is nothing to transcribe, or it cannot go to standard output together.
        inference.workers.WorkerError: there is nobody to do it, or nobody left.
    """
    failed: list[str] = []
    sources = expand(files, failed)
    if not sources:
        raise InputError("; ".join(failed))
    asked = len(sources) + len(failed)
    names = output_names(sources)
    left = sources
    if settings.output is None:
        _check_printable(settings.formats, len(sources))
    else:
        left = _unfinished(names, settings, overwrite=overwrite)
    pool = _pool(left, workers, settings)
    on_ray = workers.ray is not None
    recordings = [
        Recording(os.path.abspath(source) if on_ray else source, source, names[source], len(sources) > 1)
        for source in left
    ]
    run = _Run(recordings, settings)
    if recordings:
        run.all(pool, _elsewhere(settings) if on_ray else settings)
    code = ended("asr", failed + run.failed(), asked=asked)
    return code if run.say_what_is_not_done() else max(1, code)


class _Run:
    """Recordings on their way to transcripts."""

    def __init__(self, recordings: Sequence[Recording], settings: Settings):
        self._recordings = recordings
        self._settings = settings
        self._outcomes: dict[Recording, Heard | Failure] = {}
        self._shown = 0
        self._stopped = ""

    def all(self, pool: Pool, settings: Settings) -> None:
        """Transcribe them; stop where the disk is full, or nobody is left to do it.

        Raises:
            inference.workers.WorkerError: nobody has done anything.
        """
        console = _terminal()
        # Only the bar needs lengths, and asking for them opens every file.
        lengths = {one.source: 0.0 if console is None else seconds(one.file) for one in self._recordings}
        mark = os.urandom(8).hex()
        begin = partial(Transcriber, replace(settings, mark=mark))
        progress = AudioProgress(lengths, console)
        outcomes = pool.run(begin, self._recordings, lambda one, seconds: progress.hear(one.source, seconds))
        try:
            with progress, closing(outcomes):
                for item, result in outcomes:
                    progress.end(item.source)
                    self._outcomes[item] = result
                    self._show(progress)
                    if isinstance(result, Failure) and result.errno in FULL:
                        self._stopped = f"there is no room left in {settings.output}; make some"
                        break
        except WorkerError as error:
            if not self._outcomes:
                raise
            self._stopped = str(error)
        finally:
            if settings.output is not None:
                sweep(settings.output, mark)
        self._show(progress, gaps=True)

    def _show(self, progress: AudioProgress, *, gaps: bool = False) -> None:
        """Print what comes next in the order of the recordings; also what comes after one that is not done."""
        while self._shown < len(self._recordings):
            recording = self._recordings[self._shown]
            heard = self._outcomes.get(recording)
            if heard is None and not gaps:
                return
            self._shown += 1
            if isinstance(heard, Heard) and heard != Heard():
                with progress.aside():
                    print(heard.report, end="", file=sys.stderr)
                    print(heard.printed, end="", flush=True)
                # What has been shown need not be held any longer.
                self._outcomes[recording] = Heard()

    def failed(self) -> list[str]:
        """A line for each recording that could not be done, in their order."""
        found = (self._outcomes.get(recording) for recording in self._recordings)
        return [result.line for result in found if isinstance(result, Failure)]

    def say_what_is_not_done(self) -> bool:
        """Name the recordings that are left where it has stopped; whether there are none."""
        left = [recording.source for recording in self._recordings if recording not in self._outcomes]
        if left:
            whole = self._settings.output is not None
            again = "then the same command goes on from here" if whole else "what is printed above is whole"
            print(f"asr: stopped: {self._stopped}; {again}. Not done, {len(left)}:", file=sys.stderr)
            for source in left:
                print(f"  {as_text(source)}", file=sys.stderr)
        return not left


def _terminal() -> Console | None:
    """Where progress is shown; none where nobody looks, for whom rich would be imported in vain."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return Console(stderr=True)


def _check_printable(formats: Sequence[str], sources: int) -> None:
    """Refuse what one stream of text cannot hold."""
    if len(formats) > 1:
        raise InputError(f"{', '.join(formats)} do not go to one output together; give a folder to --output")
    if sources > 1 and formats[0] not in ("txt", "json", "ctm"):
        raise InputError(f"{sources} files do not make one {formats[0]} file; give a folder to --output")


def _unfinished(names: dict[str, str], settings: Settings, *, overwrite: bool) -> list[str]:
    """The recordings that have no transcripts yet, or older ones; make the folder, and say how many have."""
    folder = Path(settings.output)
    make_folder(folder)
    made_from = [path for path in find(settings.model).iterdir() if path.is_file()]
    if settings.search is not None:
        made_from += settings.search.files()
    left = [
        source
        for source, name in names.items()
        if overwrite or not is_finished(source, settings.results(name), made_from=made_from)
    ]
    for format in settings.formats:
        keep_originals(
            folder,
            {source: names[source] + suffix(format) for source in left},
            what="the recording, and may be its transcript",
        )
    if len(left) < len(names):
        print(
            f"asr: {len(names) - len(left)} of {len(names)} files are passed over: {folder} has transcripts of these "
            "names, newer than they and the model; after other settings, or for other recordings, --overwrite makes "
            "them anew",
            file=sys.stderr,
        )
    return left


def _pool(sources: Sequence[str], workers: Workers, settings: Settings) -> Pool:
    """Who transcribes these files.

    Raises:
        InputError: one of them is not where they would be.
    """
    elsewhere = workers.ray is not None or (workers.jobs > 1 and len(sources) > 1)
    if elsewhere and "-" in sources:
        raise InputError("standard input is heard by this process alone; leave out - or --jobs and --ray")
    if workers.ray is not None:
        from asr.ray_workers import RayCluster

        return RayCluster(workers.ray, cores=settings.threads)
    whole = settings.streaming is None and settings.segments is None
    together = whole and len(sources) > 1 and not any(map(_is_pipe, sources))
    if elsewhere:
        return Processes(workers.jobs, program="asr", at_once=AT_ONCE if together else 1)
    return InBatches() if together else Here()


def _is_pipe(source: str) -> bool:
    """Whether a source is one: what comes through it may wait for the text of the file before it."""
    try:
        return source == "-" or Path(source).is_fifo()
    except OSError:  # which reading it will say
        return False


def _elsewhere(settings: Settings) -> Settings:
    """The settings with paths that do not depend on the folder that a program runs in."""
    absolute = {}
    if settings.model not in shipped_names():
        absolute["model"] = os.path.abspath(settings.model)
    if settings.output is not None:
        absolute["output"] = os.path.abspath(settings.output)
    if settings.search is not None:
        absolute["search"] = settings.search.absolute()
    return replace(settings, **absolute)
