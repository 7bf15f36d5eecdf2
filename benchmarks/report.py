"""The report of a run: `report.md` to read, `report.json` with every value, and the plots of `benchmarks.plots`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import plots
from benchmarks.fits import Fit, growth
from benchmarks.measure import Aim, Measurement, Subject, ratio

MARKDOWN = "report.md"
JSON = "report.json"


def write(folder: Path, about: Mapping[str, str], subjects: Sequence[Subject]) -> None:
    """Write the report of these subjects into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {subject.name: plots.draw(subject, folder / f"{subject.name}.png") for subject in subjects}
    (folder / JSON).write_text(json.dumps(as_numbers(about, subjects), indent=1) + "\n", encoding="utf-8")
    (folder / MARKDOWN).write_text(as_text(about, subjects, drawn), encoding="utf-8")


def as_numbers(about: Mapping[str, str], subjects: Sequence[Subject]) -> dict:
    """Everything, as it goes into JSON."""
    found = []
    for subject in subjects:
        fits = [
            {"case": case, "who": who, **fit._asdict()} for (case, who), fit in growth(subject.measurements).items()
        ]
        aims = [{**asdict(aim), "met": None if "quick" in about else aim.met} for aim in subject.aims]
        found.append({**asdict(subject), "aims": aims, "fits": fits})
    return {"about": dict(about), "subjects": found}


def as_text(about: Mapping[str, str], subjects: Sequence[Subject], drawn: Mapping[str, bool]) -> str:
    """The report in Markdown."""
    lines = ["# Benchmarks", "", "| | |", "| --- | --- |"]
    lines += [f"| {what} | {f'`{said}`' if what == 'command' else said} |" for what, said in about.items()]
    aims = [aim for subject in subjects for aim in subject.aims]
    if aims:
        lines += ["", "## Aims", "", *_aims(aims, judged="quick" not in about)]
    for subject in subjects:
        lines += ["", f"## {subject.name.capitalize()}", "", subject.text.strip()]
        if subject.failed:
            lines += ["", f"**Not measured: {subject.failed}**"]
        if subject.absent:
            lines += ["", "Absent:", "", *(f"- {one.who}: {one.reason}" for one in subject.absent)]
        for case in dict.fromkeys(one.case for one in subject.measurements):
            chosen = [one for one in subject.measurements if one.case == case]
            lines += ["", f"### {case[0].upper()}{case[1:]}", "", *_table(chosen)]
        if drawn.get(subject.name):
            lines += ["", f"![{subject.name}]({subject.name}.png)"]
    return "\n".join(lines) + "\n"


def _aims(aims: Sequence[Aim], *, judged: bool) -> list[str]:
    """A row for each; small sizes are not those that the bounds are for, and are not judged."""
    rows = ["| what | measured | aim | |", "| --- | ---: | ---: | --- |"]
    for aim in aims:
        bound = f"{'at most' if aim.at_most else 'at least'} {aim.bound:.3g}"
        verdict = ("met" if aim.met else "**missed**") if judged else "not judged"
        rows.append(f"| {aim.what} | {aim.value:.3g} | {bound} | {verdict} |")
    return rows


def _table(measurements: Sequence[Measurement]) -> list[str]:
    return _sizes(measurements) if measurements[0].size is not None else _contest(measurements)


def _contest(measurements: Sequence[Measurement]) -> list[str]:
    """A row for each, and how many times it costs what the first does."""
    first = measurements[0]
    rows = [f"| | median | least | most | times {first.who} | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for one in measurements:
        paired = one.unit == first.unit and len(one.values) == len(first.values) and all(first.values)
        times = f"{ratio(one.values, first.values):.2f}" if paired else ""
        figures = " | ".join(shown(value, one.unit) for value in (one.median, min(one.values), max(one.values)))
        rows.append(f"| {one.who} | {figures} | {times} | {one.note} |")
    return rows


def _sizes(measurements: Sequence[Measurement]) -> list[str]:
    """A row for each size and a column for each who, then the fits."""
    whos = list(dict.fromkeys(one.who for one in measurements))
    notes = {one.who: one.note for one in measurements if one.note}
    medians = {(one.size, one.who): shown(one.median, one.unit) for one in measurements}
    rows = [f"| {measurements[0].axis} | {' | '.join(whos)} |", f"| ---: |{' ---: |' * len(whos)}"]
    for size in sorted({one.size for one in measurements if one.size is not None}):
        rows.append(f"| {size:,g} | {' | '.join(medians.get((size, who), '') for who in whos)} |")
    fits = {who: fit for (_, who), fit in growth(measurements).items()}
    if fits:
        rows += ["", "| cost by size | exponent | of the last decade | decades | off the line at most |"]
        rows += ["| --- | ---: | ---: | ---: | ---: |", *(_fit(who, fit) for who, fit in fits.items())]
    if notes:
        rows += ["", *(f"- {who}: {note}" for who, note in notes.items())]
    return rows


def _fit(who: str, fit: Fit) -> str:
    return f"| {who} | {fit.exponent:.2f} | {fit.last:.2f} | {fit.decades:.1f} | {100 * fit.off:.0f} % |"


def shown(value: float, unit: str) -> str:
    """A value with its unit, in three digits; seconds as ms or µs where they are few."""
    if unit == "s":
        for factor, small in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
            if value * factor >= 1 or small == "µs":
                return f"{_digits(value * factor)} {small}"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three digits without an exponent, and whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
