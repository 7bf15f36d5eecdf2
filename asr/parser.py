"""A command line on which one `--format` takes several formats."""

from __future__ import annotations

import argparse
import sys

ALL = "all"  # formats


class Parser(argparse.ArgumentParser):
    """Takes several formats after one `--format`, up to the first word that is none.

    `nargs="+"` would take the files too in `--format json a.wav`.
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
        return super().parse_known_args(spread, namespace)
