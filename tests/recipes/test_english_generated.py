"""Made-up sentences: like the transcripts, the same each time, and none that is tested or chosen on."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from recipes.english.generated import Generated
from recipes.english.synthesize import synthesize
from recipes.english.texts import SPEECH_WORDS, HeldOut, SpokenForm, speakable

TRANSCRIPTS = [
    f"{who} {does} the {what} in the {where}"
    for who, does in (("i", "see"), ("mother", "saw"), ("we", "like"))
    for what in ("bear", "cake", "dog")
    for where in ("garden", "zoo")
]
# What trigrams of all the others would say again and again.
HELD, OTHER = "i see the bear in the zoo", "the dog in the garden"
CLIPS = range(300)


def test_sentences_are_new_ones_of_the_same_words_and_none_is_held_out() -> None:
    form = SpokenForm()
    held_out = HeldOut([HELD.split(), OTHER.split()])
    free, checked = (Generated(TRANSCRIPTS, held, share=1) for held in (HeldOut([]), held_out))
    said, allowed = ([one(0, number) for number in CLIPS] for one in (free, checked))
    known = set(" ".join(TRANSCRIPTS).split())
    for sentence in (*said, *allowed):
        assert speakable(sentence) == sentence
        assert SPEECH_WORDS[0] <= len(sentence.split()) <= SPEECH_WORDS[1]
        assert set(form(sentence)) <= known
    assert len({*said} - {f"{text[:1].upper()}{text[1:]}." for text in TRANSCRIPTS}) > 20
    for held in (HELD, OTHER):
        assert any(held in " ".join(form(sentence)) for sentence in said)
        assert not any(held in " ".join(form(sentence)) for sentence in allowed)
    assert not any(re.search(r"\bi\b", sentence) for sentence in said)


def test_a_clip_depends_on_seed_and_number_alone_and_the_share_is_kept() -> None:
    whole, part = (Generated(TRANSCRIPTS, HeldOut([]), share=share) for share in (1, 0.3))
    backwards = [part(5, number) for number in reversed(CLIPS)][::-1]
    assert backwards == [part(5, number) for number in CLIPS]
    assert 0.2 < sum(one is not None for one in backwards) / len(CLIPS) < 0.4
    for number, sentence in zip(CLIPS, backwards, strict=True):
        assert sentence in (None, whole(5, number))
    assert backwards != [part(6, number) for number in CLIPS]


def test_other_transcripts_or_held_out_sentences_are_told_apart() -> None:
    texts = (TRANSCRIPTS, TRANSCRIPTS[1:])
    held_out = ([], [HELD.split()], [HELD.split(), OTHER.split()], [OTHER.split(), HELD.split()])
    digests = [Generated(text, HeldOut(held), share=1).digest for text in texts for held in held_out]
    assert digests[2] == digests[3]
    assert len({*digests}) == 6


def test_where_nothing_may_be_said_there_is_none() -> None:
    assert Generated(["b b b b", "b"], HeldOut([]), share=1)(0, 0) is None, "no word of one letter but a, i and o"


@pytest.mark.skipif(not (shutil.which("flite") and shutil.which("espeak-ng")), reason="needs flite and espeak-ng")
def test_clips_say_them_and_the_others_stay_as_they_are(tmp_path: Path) -> None:
    books, hours = ["It rains.", "Why not?"], 4 / 3600
    generated = Generated(TRANSCRIPTS, HeldOut([]), share=0.5)
    clips = {}
    for name, source in (("plain", None), ("mixed", generated)):
        table = synthesize(tmp_path / name, books, hours=hours, seed=1, processes=1, generated=source)
        rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
        clips[name] = {path: (text, (table.parent / path).read_bytes()) for path, text, _ in rows}
    form, both = SpokenForm(), clips["plain"].keys() & clips["mixed"].keys()
    kinds = set()
    for path in both:
        drawn = generated(1, int(path[:6]))
        kinds.add(drawn is None)
        if drawn is None:
            assert clips["mixed"][path] == clips["plain"][path]
        else:
            assert clips["mixed"][path][0] == " ".join(form(drawn))
    assert kinds == {True, False}
