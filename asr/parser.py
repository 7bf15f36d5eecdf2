"""A command line on which one `--format` takes several formats, and which must name files."""

from __future__ import annotations

import sys

from inference.shell import CommandParser

ALL = "all"  # formats


class Parser(CommandParser):
    """Takes several formats after one `--format`, up to the first word that is none, and no command without files.

    `nargs="+"` would take the files too in `--format json a.wav`, and not do without where a list names them.
    """

    def parse_known_args(self, args=None, namespace=None):
        from asr.formats import WRITERS

        spread: list[str] = []
        formats = False
        for word in sys.argv[1:] if args is None else args:
            known = formats and word in (*WRITERS, ALL)
            if known and spread[-1] != "--format":
                spread.append("--format")
            formats = known or word == "--format" or word.startswith("--format=")
            spread.append(word)
        parsed, rest = super().parse_known_args(spread, namespace)
        if getattr(parsed, "files", None) == [] and parsed.files_from is None:
            self.error("name sound files or folders as FILE, or a list of them with --files-from LIST")
        return parsed, rest
