"""Options of `asr transcribe` for many files, long ones and subtitles, and what they come to.

Nothing that takes time is imported before the command runs.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from inference.shell import count, time

if TYPE_CHECKING:
    from asr.search import SearchConfig
    from asr.stretches import Segments

# Options of subtitles by the rules that they set; `asr.subtitles` has the defaults.
SUBTITLES = {
    "max_line_width": "max_line_width",
    "max_line_count": "max_line_count",
    "max_cue_duration": "max_duration",
}
# Options of streams that go with --segments too: how long pauses are.
PAUSES = ("pause", "silence", "longest")


def add_many(parser: argparse.ArgumentParser) -> None:
    """Add the options for many recordings, and for long ones."""
    many = parser.add_argument_group(
        "many files", "what cannot be done is listed at the end, and the others are done all the same"
    )
    many.add_argument("--files-from", metavar="LIST", help="text file with the name of a recording on each line")
    many.add_argument(
        "--jobs", type=count, default=1, metavar="N", help="processes, each with the model and --threads (default: 1)"
    )
    many.add_argument(
        "--ray",
        metavar="HOST:PORT|auto",
        help="hear them on a running Ray cluster (`ray start --head --disable-usage-stats`), a core or --threads for "
        "each; its machines must have Saywave and see recordings, model and DIR under the same paths",
    )
    many.add_argument("--overwrite", action="store_true", help="also what --output has already")
    long = parser.add_argument_group("long recordings", "the memory needed does not grow with their length")
    long.add_argument(
        "--segments",
        choices=("none", "decoder", "silero"),
        default="none",
        help="none: hear it as one, in windows of 30 s; decoder: divide it where no words are recognised for --pause, "
        "and hear each stretch as if it came alone; silero: where silero-vad's network hears nobody either. Lines of "
        "txt, segments and subtitles then end there (default: none)",
    )


def add_subtitles(parser: argparse.ArgumentParser) -> None:
    """Add the options for subtitles."""
    subtitles = parser.add_argument_group("subtitles", "rules for srt and vtt")
    subtitles.add_argument("--max-line-width", type=count, metavar="N", help="letters on a line (default: 42)")
    subtitles.add_argument("--max-line-count", type=count, metavar="N", help="lines shown at a time (default: 2)")
    subtitles.add_argument(
        "--max-cue-duration", type=time, metavar="TIME", help="how long they are shown at most (default: 7s)"
    )


def run(parsed: argparse.Namespace, *, search: SearchConfig, streams: dict, every_format: str) -> int:
    """Transcribe as the options say.

    Args:
        parsed: They.
        search: How words are looked for.
        streams: The settings of streams, with their defaults.
        every_format: Name that stands for all formats.
    """
    from asr.confidence.cli import doubt_of
    from asr.formats import WRITERS
    from asr.sources import InputError, listed
    from asr.subtitles import SubtitleRules
    from asr.task import Settings, Streaming
    from asr.transcribe import Workers, transcribe_files

    _check_streams(parsed)
    formats = tuple(dict.fromkeys(parsed.format or ["txt"]))
    formats = tuple(WRITERS) if every_format in formats else formats
    if parsed.alternatives and "json" not in formats:
        raise InputError("--alternatives goes with --format json; add that, or leave it out")
    if parsed.alternatives and parsed.beam == 0:
        raise InputError("--beam 0 is greedy, and alternatives need a beam: leave one of them out")
    rules = {rule: getattr(parsed, name) for name, rule in SUBTITLES.items() if getattr(parsed, name) is not None}
    if rules and not {"srt", "vtt"} & set(formats):
        given = next(name for name in SUBTITLES if getattr(parsed, name) is not None).replace("_", "-")
        raise InputError(f"--{given} goes with --format srt or vtt; add one, or leave it out")
    if parsed.jobs == 0:
        raise InputError("--jobs is 0; give 1 or more")
    if parsed.ray is not None and parsed.jobs > 1:
        raise InputError("--jobs and --ray are two ways to share the work; choose one")
    if parsed.overwrite and parsed.output is None:
        raise InputError("--overwrite goes with --output; add that, or leave it out")
    return transcribe_files(
        [*parsed.files, *(listed(parsed.files_from) if parsed.files_from is not None else ())],
        Settings(
            model=parsed.model,
            formats=formats,
            output=parsed.output,
            threads=parsed.threads,
            search=search,
            streaming=Streaming(realtime=parsed.realtime, **streams) if parsed.streaming else None,
            segments=_segments(parsed, streams),
            rules=SubtitleRules(**rules),
            doubt=doubt_of(parsed),
        ),
        workers=Workers(jobs=parsed.jobs, ray=parsed.ray),
        overwrite=parsed.overwrite,
    )


def _check_streams(parsed: argparse.Namespace) -> None:
    from asr.sources import InputError

    if parsed.streaming and parsed.segments != "none":
        raise InputError("--streaming divides by itself, see --silence-by; leave --segments out")
    if parsed.streaming:
        return
    divided = PAUSES if parsed.segments != "none" else ()
    asked = [
        name
        for name in ("realtime", "chunk", "lookahead", *PAUSES, "silence_by")
        if name not in divided and getattr(parsed, name) not in (None, False)
    ]
    if asked:
        where = "--streaming or --segments" if asked[0] in PAUSES else "--streaming"
        raise InputError(f"--{asked[0].replace('_', '-')} goes with {where}; add that, or leave it out")


def _segments(parsed: argparse.Namespace, streams: dict) -> Segments | None:
    if parsed.segments == "none":
        return None
    from asr.stretches import Segments

    return Segments(parsed.segments, streams["rules"])
