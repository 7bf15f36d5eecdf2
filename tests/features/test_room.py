"""Simulated rooms against pyroomacoustics, against plain loops, and against what is known of reverberation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from features.effects import reverberate
from features.room import (
    EARLY_SECONDS,
    SPEED_OF_SOUND,
    Box,
    box_response,
    draw_box,
    image_response,
    image_sources,
    reflection_for,
)

RATE = 16000
OFFICE = Box((5.1, 4.2, 2.9), (1.3, 2.2, 1.5), (3.7, 1.1, 1.2), reflection=0.8)
CORRIDOR = Box((3.2, 7.2, 2.4), (1.3, 2.2, 1.5), (0.4, 6.1, 1.2), reflection=0.97)
TUNNEL = Box((8.0, 3.0, 3.0), (1.0, 1.5, 1.5), (7.0, 1.5, 1.5), reflection=0.95)  # four echoes at once


@pytest.mark.parametrize("box", [OFFICE, CORRIDOR])
def test_responses_are_those_of_pyroomacoustics(box: Box) -> None:
    pyroomacoustics = pytest.importorskip("pyroomacoustics", reason="pyroomacoustics is not installed")
    highpass = pyroomacoustics.constants.get("rir_hpf_enable")
    pyroomacoustics.constants.set("rir_hpf_enable", False)
    try:
        walls = pyroomacoustics.Material(1 - box.reflection**2)
        theirs = pyroomacoustics.ShoeBox(box.size, fs=RATE, materials=walls, max_order=14, air_absorption=False)
        theirs.add_source(box.source)
        theirs.add_microphone(box.microphone)
        theirs.compute_rir()
    finally:
        pyroomacoustics.constants.set("rir_hpf_enable", highpass)
    delay = pyroomacoustics.constants.get("frac_delay_length") // 2
    ours = image_response(box, RATE, 0.06)[:-50]  # their order reaches as far
    wanted = theirs.rir[0][0][delay : delay + len(ours)]
    assert np.linalg.norm(ours - wanted) < 0.003 * np.linalg.norm(wanted)  # they tabulate their sinc
    assert box.decay_seconds == pytest.approx(theirs.rt60_theory("eyring"), rel=1e-6)


def mirrored(position: float, walls: tuple[int, ...], length: float) -> float:
    """Where an image lies whose sound meets these walls (0 or 1, at 0 or at `length`), the last one first."""
    for wall in walls:
        position = 2 * length * wall - position
    return position


def test_image_sources_are_all_mirrors_of_mirrors() -> None:
    farthest = 9.0
    found = []
    alternating = [
        walls for count in range(8) for first in (0, 1) for walls in [tuple((first + k) % 2 for k in range(count))]
    ]
    for axes in itertools.product(sorted(set(alternating)), repeat=3):
        image = [mirrored(s, walls, length) for s, walls, length in zip(OFFICE.source, axes, OFFICE.size, strict=True)]
        distance = float(np.linalg.norm(np.subtract(image, OFFICE.microphone)))
        if distance <= farthest:
            found.append((distance, OFFICE.reflection ** sum(map(len, axes))))
    ours = sorted(zip(*(values.tolist() for values in image_sources(OFFICE, farthest)), strict=True))
    assert len(ours) > 20
    np.testing.assert_allclose(ours, sorted(found), rtol=1e-9)


def test_the_direct_path_comes_when_and_as_loud_as_it_must() -> None:
    dead = Box(OFFICE.size, OFFICE.source, OFFICE.microphone, reflection=0.0)
    response = image_response(dead, RATE, 0.03)
    distance = float(np.linalg.norm(np.subtract(dead.source, dead.microphone)))
    spectrum = np.fft.rfft(response)
    hertz = np.fft.rfftfreq(len(response), 1 / RATE)
    band = (hertz > 200) & (hertz < 7000)
    np.testing.assert_allclose(np.abs(spectrum[band]), 1 / distance, rtol=0.01)
    slope = np.polyfit(hertz[band], np.unwrap(np.angle(spectrum[band])), 1)[0]
    assert -slope / (2 * np.pi) == pytest.approx(distance / SPEED_OF_SOUND, abs=1e-6)


@pytest.mark.parametrize("decay", [0.3, 0.7])
def test_energy_falls_by_60_db_in_the_time_asked_for(decay: float) -> None:
    falls = []
    for seed in range(10):
        drawn = draw_box(np.random.default_rng(seed))
        box = Box(drawn.size, drawn.source, drawn.microphone, reflection_for(drawn.size, decay))
        response = box_response(box, RATE, np.random.default_rng(seed)).astype(np.float64)
        assert len(response) == round(decay * RATE)
        left_db = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])  # Schroeder's integral
        late = np.arange(round(EARLY_SECONDS * RATE), round(0.7 * decay * RATE))
        falls.append(-60 / (np.polyfit(late, left_db[late], 1)[0] * RATE))
    assert np.mean(falls) == pytest.approx(decay, rel=0.05)


def test_noise_goes_on_as_loud_as_the_images_would() -> None:
    steps = []
    for seed in range(20):
        drawn = draw_box(np.random.default_rng(seed))
        box = Box(drawn.size, drawn.source, drawn.microphone, reflection_for(drawn.size, 0.6))
        after = slice(round(EARLY_SECONDS * RATE), round((EARLY_SECONDS + 0.02) * RATE))
        noise = box_response(box, RATE, np.random.default_rng(seed))[after]
        images = image_response(box, RATE, EARLY_SECONDS + 0.02)[after]
        steps.append(10 * np.log10(np.sum(noise**2) / np.sum((images - images.mean()) ** 2)))
    assert abs(np.mean(steps)) < 1.0
    assert max(map(abs, steps)) < 4.0


def test_rooms_that_are_drawn_hold_both_ends_and_differ() -> None:
    boxes = [draw_box(np.random.default_rng(seed)) for seed in range(300)]
    for box in boxes:
        for place in (box.source, box.microphone):
            assert all(0.29 < x < length - 0.29 for x, length in zip(place, box.size, strict=True))
        assert 0.15 <= box.decay_seconds <= 0.8
        assert 0.3 <= np.linalg.norm(np.subtract(box.source, box.microphone)) <= 4.0
    far = [np.linalg.norm(np.subtract(box.source, box.microphone)) for box in boxes]
    assert min(far) < 0.6
    assert max(far) > 3.5
    assert len({box.size for box in boxes}) == 300
    first = draw_box(np.random.default_rng(5))
    assert first == boxes[5]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_words_stay_where_they_were_at_any_rate(rate: int) -> None:
    click = np.zeros(rate // 4, np.float32)
    click[rate // 10] = 0.5
    later = 0
    for box in (TUNNEL, OFFICE, *(draw_box(np.random.default_rng(seed)) for seed in range(10))):
        response = box_response(box, rate, np.random.default_rng(0))
        assert response.dtype == np.float32
        direct = box.direct_sample(rate)
        heard = np.abs(reverberate(click, response, direct=direct))
        assert heard[: rate // 10 - rate // 500].max() < 0.05 * heard.max()  # but for the sinc's foot
        assert heard[rate // 10 - 1 : rate // 10 + 2].max() > 0.05 * heard.max()
        later += int(np.argmax(np.abs(response))) > direct + 1
    assert later, "in no room was an echo the loudest"
