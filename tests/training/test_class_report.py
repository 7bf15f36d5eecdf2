"""Reports of clips and recordings: figures against scikit-learn, the shape of the Markdown, the picture."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from training.class_report import ClassReport, Judged, ReportError, make_report
from training.metrics import MetricsError, accuracy_interval

LABELS = ["none", "wave", "stop", "a|b"]
CLIPS = [
    Judged("c1", "anna", "wave", "wave", 0.9),
    Judged("c2", "anna", "wave", "stop", 0.6),
    Judged("c3", "ben", "stop", "stop", 0.8),
    Judged("c4", "ben", "stop", "stop", 0.7),
    Judged("c5", "ben", "none", "wave", 0.95),
    Judged("c6", "cleo", "wave", "none", 0.3),
    Judged("c7", "cleo", "wave", "stop", 0.6),
]


def many(labels: int, clips: int) -> ClassReport:
    """A made result in which about every sixth clip is wrong."""
    rng = np.random.default_rng(labels)
    names = [f"sign {k}" for k in range(labels)]
    reference = rng.integers(labels, size=clips)
    recognised = np.where(rng.random(clips) < 0.85, reference, rng.integers(labels, size=clips))
    pairs = zip(reference.tolist(), recognised.tolist(), strict=True)
    return make_report(names, [Judged(f"c{k}", None, names[i], names[j], 0.5) for k, (i, j) in enumerate(pairs)])


def test_figures_equal_those_of_scikit_learn() -> None:
    report = make_report(LABELS, CLIPS)
    sides = [clip.reference for clip in CLIPS], [clip.recognised for clip in CLIPS]
    assert report.figures() == {
        "accuracy": pytest.approx(accuracy_score(*sides)),
        "macro F1": pytest.approx(f1_score(*sides, average="macro")),
    }


def test_interval_is_over_signers_where_all_are_known_and_some_clip_is_wrong() -> None:
    report = make_report(LABELS, CLIPS)
    right = [clip.right for clip in CLIPS]
    assert report.drawn == "signers"
    assert report.interval == accuracy_interval(right, groups=[clip.person for clip in CLIPS])
    assert "over 3 signers" in report.summary()
    for changed in (
        [*CLIPS[:-1], CLIPS[-1]._replace(person=None)],
        [*CLIPS[:-1], CLIPS[-1]._replace(person="")],
        [clip._replace(person="anna") for clip in CLIPS],
    ):
        report = make_report(LABELS, changed)
        assert report.drawn == "clips"
        assert report.interval == accuracy_interval(right)
        assert "by Wilson over 7 clips" in report.summary()
        assert "by Wilson over 7 clips." in report.to_markdown()
    perfect = make_report(LABELS, [clip._replace(recognised=clip.reference) for clip in CLIPS])
    assert perfect.drawn == "clips"
    assert perfect.interval[0] < 1


def test_signers_add_up() -> None:
    report = make_report(LABELS, [*CLIPS, Judged("c8", None, "stop", "stop", 1.0)])
    assert report.people == [("anna", 2, 1), ("ben", 3, 2), ("cleo", 2, 0), (None, 1, 1)]


def test_the_worst_are_wrong_and_sure() -> None:
    report = make_report(LABELS, CLIPS)
    assert [clip.id for clip in report.worst(10)] == ["c5", "c2", "c7", "c6"]
    assert [clip.id for clip in report.worst(1)] == ["c5"]


def test_summary_is_two_lines() -> None:
    first, second = make_report(LABELS, CLIPS).summary().split("\n")
    assert first.startswith("accuracy 42.86 % (95 % interval: ")
    assert first.endswith("3 of 7 clips")
    assert second.startswith("macro F1 ")
    assert "over 3 classes" in second


def test_markdown_shows_everything() -> None:
    text = make_report(LABELS, CLIPS).to_markdown(title="Signs", picture="a b.png")
    lines = text.split("\n")
    assert lines[0] == "# Signs"
    assert "7 clips of 3 classes, 4 of them wrong." in lines
    assert "| ben | 3 | 1 | 66.67 % |" in lines
    assert "| stop | 2 | 50.00 % | 100.00 % | 66.67 % |" in lines
    assert "| a\\|b | 0 |  |  |  |" in lines, "no share of nothing"
    assert "|  | none | wave | stop | a\\|b |" in lines
    assert "| wave | 1 | 1 | 2 | . |" in lines
    assert "| wave | stop | 2 |" in lines
    assert "| c5 | none | wave | 95.00 % |" in lines
    assert "![Confusion matrix](<a b.png>)" in lines
    assert text.index("| c5 |") < text.index("| c2 |")


def test_tables_have_rows_of_one_width() -> None:
    text = make_report(LABELS, CLIPS).to_markdown()
    for table in (part for part in text.split("\n\n") if part.startswith("|")):
        assert len({row.replace("\\|", "").count("|") for row in table.strip().split("\n")}) == 1


def test_markdown_limits_its_lists() -> None:
    text = make_report(LABELS, CLIPS).to_markdown(confusions=1, worst=2)
    assert "| wave | none | 1 |" not in text
    assert "| c2 |" in text
    assert "| c7 |" not in text


def test_markdown_of_a_perfect_result_lists_no_errors() -> None:
    text = make_report(LABELS, CLIPS[2:4]).to_markdown()
    assert "100.00 %" in text
    assert "Most confused" not in text
    assert "Worst clips" not in text


def test_a_matrix_that_fits_no_page_is_left_to_the_picture() -> None:
    text = many(31, 100).to_markdown()
    assert "Confusion matrix" not in text
    assert "Most confused" in text
    assert "Confusion matrix" in many(30, 100).to_markdown()
    assert "![Confusion matrix](<c.png>)" in many(60, 100).to_markdown(picture="c.png")


def test_names_cannot_break_the_markdown() -> None:
    labels = ["x|y\n# z", "<b>", "$a_b$"]
    clips = [Judged("a|b\n# c", "s|1", labels[0], labels[1], 0.5), Judged("d", "e", labels[2], labels[2], 0.5)]
    lines = make_report(labels, clips).to_markdown(title="a*b\n# c").split("\n")
    assert [line for line in lines if line.startswith("# ")] == ["# a\\*b \\# c"]
    assert "| a\\|b \\# c | x\\|y \\# z | \\<b\\> | 50.00 % |" in lines
    assert any(line.startswith("| s\\|1 | 1 |") for line in lines)
    assert any(line.startswith("| \\$a\\_b\\$ | 1 |") for line in lines)


@pytest.mark.parametrize("labels", [1, 6, 60])
def test_the_picture_is_as_large_as_its_classes_need(tmp_path: Path, labels: int) -> None:
    image = pytest.importorskip("matplotlib.image")
    many(labels, 20 * labels).draw(tmp_path / "c.png", title="Test")
    pixels = image.imread(tmp_path / "c.png")
    height, width = pixels.shape[:2]
    assert min(height, width) >= 25 * labels + 100
    assert max(height, width) <= 3000
    blue = (pixels[..., 2] - pixels[..., 0] > 0.4).mean()
    assert blue > 0.001, "the diagonal is dark blue"
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


def test_any_label_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    labels = ["$x^{$", "two\nlines", "größer als", "_" * 200, "\\frac{"]
    clips = [Judged(label, None, label, labels[0], 0.5) for label in labels]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_report(labels, clips).draw(tmp_path / "c.png", title="$\\bad$")
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_the_same_result_gives_the_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.png", "b.png"):
        many(6, 60).draw(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_picture_that_cannot_be_written_names_its_place(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        many(2, 10).draw(tmp_path / "nowhere" / "c.png")


def test_without_matplotlib_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.colors", None)
    with pytest.raises(ReportError, match=r"pip install 'saywave\[train\]'"):
        many(2, 10).draw(tmp_path / "c.png")
    assert many(2, 10).to_markdown()


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ReportError, match="no clips"):
        make_report(LABELS, [])
    with pytest.raises(MetricsError, match="'fist' is none of"):
        make_report(LABELS, [Judged("c", None, "fist", "wave", 0.5)])
