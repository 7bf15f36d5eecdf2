"""The skeleton: where it is drawn, in which colours, and that nothing is drawn of what is absent."""

from __future__ import annotations

import numpy as np
import pytest

from features.landmarks import EITHER_HAND, PERSON, LandmarkError, Landmarks, mirror_name
from gestures.draw import BONES, LEFT, MIDDLE, RIGHT, Words, draw, mirrored, write_words

pytest.importorskip("cv2", reason="OpenCV, which comes with MediaPipe, draws")

SIZE = (320, 240)
GREY = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)


def one_frame(places: dict[str, tuple[float, float]], *, presence: float = 1.0, size: tuple[int, int] | None = SIZE):
    """Landmarks of one frame with these points; the others are absent."""
    coordinates_TKC = np.full((1, len(PERSON), 3), np.nan)
    presence_TK = np.zeros((1, len(PERSON)))
    for name, place in places.items():
        coordinates_TKC[0, PERSON.index(name)] = (*place, 0.0)
        presence_TK[0, PERSON.index(name)] = presence
    return Landmarks(coordinates_TKC, presence_TK, np.zeros(1), PERSON, size)


ARM = {"left_elbow": (200.5, 40.5), "left_wrist": (200.5, 200.5)}


def test_bones_join_every_point_of_a_person_and_of_a_hand_of_either_side():
    ends = {name for bone in BONES for name in bone}
    assert ends == {*PERSON, *EITHER_HAND}
    assert len(set(BONES)) == len(BONES)
    # What is on one side is on the other too.
    assert {frozenset(bone) for bone in BONES} == {frozenset(map(mirror_name, bone)) for bone in BONES}


def test_a_bone_is_drawn_from_point_to_point_in_the_colour_of_its_side():
    drawn = draw(GREY, one_frame(ARM))
    assert tuple(drawn[120, 200]) == LEFT
    changed_rows, changed_columns = np.nonzero((drawn != GREY).any(axis=2))
    assert 33 <= changed_rows.min() <= 40
    assert 200 <= changed_rows.max() <= 207
    assert 193 <= changed_columns.min() < 200 < changed_columns.max() <= 207
    right = draw(GREY, one_frame({mirror_name(name): place for name, place in ARM.items()}))
    assert tuple(right[120, 200]) == RIGHT
    across = draw(GREY, one_frame({"left_shoulder": (220.5, 60.5), "right_shoulder": (100.5, 60.5)}))
    assert tuple(across[60, 160]) == MIDDLE


def test_the_image_given_is_not_touched():
    image = GREY.copy()
    drawn = draw(image, one_frame(ARM))
    assert (image == GREY).all()
    assert drawn is not image
    assert (write_words(image, [Words("wave")]) != GREY).any()
    assert (image == GREY).all()


@pytest.mark.parametrize("presence", [0.0, 0.49])
def test_what_is_absent_or_guessed_is_not_drawn(presence):
    assert (draw(GREY, one_frame(ARM, presence=presence)) == GREY).all()


def test_a_bone_with_an_absent_end_is_not_drawn_but_its_other_end_is():
    drawn = draw(GREY, one_frame({"left_elbow": (200.5, 40.5)}))
    assert tuple(drawn[40, 200]) == LEFT
    assert (drawn[60:] == GREY[60:]).all()


def test_frames_are_chosen_and_none_draws_nothing():
    still, moved = one_frame(ARM), one_frame({name: (x - 100, y) for name, (x, y) in ARM.items()})
    both = still.with_frames(
        np.concatenate([still.coordinates_TKC, moved.coordinates_TKC]),
        np.concatenate([still.presence_TK, moved.presence_TK]),
        [0.0, 1.0],
    )
    assert (draw(GREY, both) == draw(GREY, moved)).all()
    assert (draw(GREY, both, frame=0) == draw(GREY, still)).all()
    assert (draw(GREY, both[:0]) == GREY).all()


def test_an_image_of_another_size_gets_the_same_skeleton_thicker():
    shares = []
    for factor in (4, 8):
        large = np.full((factor * SIZE[1], factor * SIZE[0], 3), 90, np.uint8)
        drawn = draw(large, one_frame(ARM))
        assert tuple(drawn[factor * 120 + 2, factor * 200 + 2]) == LEFT
        shares.append((drawn != large).any(axis=2).mean())
    assert shares[0] == pytest.approx(shares[1], rel=0.2)


def test_landmarks_of_mirrored_images_have_the_colours_of_the_person():
    # What a landmarker finds in the mirror image of the arm: it takes the left one for a right one.
    found = one_frame({mirror_name(name): (SIZE[0] - x, y) for name, (x, y) in ARM.items()})
    found = Landmarks(found.coordinates_TKC, found.presence_TK, found.time_T, PERSON, SIZE, mirrored=True)
    in_mirror = draw(mirrored(GREY), found)
    straight = draw(GREY, one_frame(ARM))
    assert tuple(in_mirror[120, SIZE[0] - 1 - 200]) == LEFT
    # Anti-aliasing may round differently to the left and to the right.
    assert np.abs(mirrored(in_mirror).astype(int) - straight).mean() < 0.2


@pytest.mark.parametrize("far", [1e4, 1e9, -1e30])
def test_points_far_outside_do_no_harm(far):
    drawn = draw(GREY, one_frame({"left_elbow": (200.5, 40.5), "left_wrist": (far, 50.0)}))
    assert tuple(drawn[40, 200]) == LEFT
    # A point that is a little outside still has its bone, as far as it is seen.
    assert tuple(draw(GREY, one_frame({"left_elbow": (200.5, 40.5), "left_wrist": (200.5, 400.0)}))[230, 200]) == LEFT


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(LandmarkError, match="uint8"):
        draw(image, one_frame(ARM))
    with pytest.raises(LandmarkError, match="uint8"):
        write_words(image, [Words("wave")])


def test_a_view_is_drawn_on_as_a_copy_of_it():
    wide = np.full((SIZE[1], 2 * SIZE[0], 3), 90, np.uint8)
    assert (draw(wide[:, ::2], one_frame(ARM)) == draw(GREY, one_frame(ARM))).all()


def test_words_stay_on_the_image_however_many_they_are():
    short = write_words(GREY, [Words("wave"), Words("below", row=-1)])
    changed = (short != GREY).any(axis=2)
    assert changed[:20].any()
    assert changed[-20:].any()
    assert not changed[40:-40].any()
    long = write_words(GREY, [Words("a very long name of a gesture " * 5)])
    columns = np.nonzero((long != GREY).any(axis=(0, 2)))[0]
    assert SIZE[0] * 0.8 < columns.max() < SIZE[0] - 1
    tiny = np.zeros((8, 8, 3), np.uint8)
    assert write_words(tiny, [Words("wave", row=3), Words("", row=-1), Words("größer 手")]).shape == tiny.shape
