"""Photos made small, chosen, and kept beside an evaluation."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bunri.core.errors import InputError
from bunri.labels.records import Photo
from bunri.report.mistakes import Mistakes
from bunri.report.picture_choice import MAX_PHOTOS, NUM_WORST, PictureKeeper
from bunri.report.pictures import (
    NUM_KEPT,
    PICTURES_NAME,
    decode_mask,
    encode_mask,
    make_picture,
    read_pictures,
    write_pictures,
)
from bunri.scores.result_files import write_result
from bunri.scores.results import score_counts
from tests.report.made import make_evaluation


def test_encode_mask__bytes_known_by_hand():
    mask = np.array([[3] * 100, [3] * 100, [0] * 99 + [255]], np.uint8)
    assert encode_mask(mask) == bytes([3, 200 & 127 | 128, 200 >> 7, 0, 99, 255, 1])


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
        lambda size: arrays(np.uint8, size, elements=st.sampled_from([0, 1, 11, 255]))
    )
)
def test_decode_mask__undoes_encode_mask(mask):
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), mask.shape), mask)


@pytest.mark.parametrize("packed", [b"", b"\x01", b"\x01\x05", b"\x01\xff\xff\xff\xff\xff\x7f"])
def test_decode_mask__damaged(packed):
    with pytest.raises(ValueError, match="not 2 x 3 pixels"):
        decode_mask(packed, (2, 3))


def make_noise(size_hw):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size_hw, 3), np.uint8)
    truth, prediction = (rng.integers(0, 12, size_hw, np.uint8) for _ in range(2))
    return image, truth, prediction


def test_make_picture__fits_whatever_it_shows():
    """Noise is what packs worst."""
    image, truth, prediction = make_noise((512, 768))
    mistakes = Mistakes.of(truth, prediction, 12)
    picture = make_picture(
        Photo(1, "a", 512, 768), image, truth, prediction, mistakes, max_bytes=90_000
    )
    assert sum(map(len, (picture.photo, picture.truth, picture.prediction))) <= 90_000
    height, width = picture.size_hw
    assert abs(width / height - 1.5) < 0.02
    assert decode_mask(base64.b64decode(picture.truth), picture.size_hw).max() == 11
    assert sum(cell[2] for cell in picture.cells) == 512 * 768  # counted before it was made small


def watch_scores(num_photos):
    """Return what is kept of photos of which number i has i wrong pixels, but for the order."""
    keeper = PictureKeeper(num_photos, 2)
    order = np.random.default_rng(1).permutation(num_photos)
    for number in order:
        truth = np.zeros((40, 50), np.uint8)
        truth[:20] = 1
        prediction = truth.copy()
        prediction.ravel()[:number] = 0
        photo = Photo(int(number), f"{number}", 40, 50)
        keeper.watch(photo, np.zeros((40, 50, 3), np.uint8), truth, prediction)
    return keeper, order


@pytest.mark.parametrize("num_photos", [1, 7, MAX_PHOTOS])
def test_keeper__small_set_is_kept_whole_and_sorted(num_photos):
    keeper, _ = watch_scores(num_photos)
    names = [picture.file_name for picture in keeper.list_pictures()]
    assert names == [str(i) for i in reversed(range(num_photos))]


def test_keeper__of_a_large_set_the_worst_and_some_more():
    keeper, order = watch_scores(400)
    pictures = keeper.list_pictures()
    assert len(pictures) <= MAX_PHOTOS
    names = [picture.file_name for picture in pictures]
    worst = {str(i) for i in range(400 - NUM_WORST, 400)}
    spread = {str(order[round(place)]) for place in np.linspace(0, 399, MAX_PHOTOS - NUM_WORST)}
    # What is shown for its place does not take the place of a bad one.
    assert worst | spread <= set(names)
    assert keeper.mistakes.num_pixels == 400 * 2000
    assert keeper.mistakes.count()["missed"] == sum(range(400))


def test_keeper__no_photo():
    assert PictureKeeper(0, 3).list_pictures() == []


@pytest.fixture
def kept(tmp_path):
    result, keeper, _ = make_evaluation(20)
    scores = {size: score_counts(counts) for size, counts in result.sizes.items()}
    write_result(tmp_path, result, scores)
    pictures = keeper.list_pictures()
    write_pictures(tmp_path, pictures)
    return tmp_path, pictures


def test_read_pictures__are_the_worst_that_were_written(kept):
    folder, pictures = kept
    assert read_pictures(folder) == pictures[:NUM_KEPT]


def test_read_pictures__of_an_earlier_evaluation_are_not_shown(kept):
    folder, _ = kept
    result, _, _ = make_evaluation(5)
    write_result(folder, result, {s: score_counts(c) for s, c in result.sizes.items()})
    assert read_pictures(folder) == []


def test_read_pictures__none_there(tmp_path):
    assert read_pictures(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"photo": "<script>"},
        {"photo": base64.b64encode(b"no picture").decode()},
        {"truth": "AAAA"},
        {"size_hw": [1, 2, 3]},
        {"size_hw": [9, 9]},
        {"cells": 3},
        {"miou": "x"},
    ],
)
def test_read_pictures__damaged(kept, changes):
    folder, _ = kept
    content = json.loads((folder / PICTURES_NAME).read_text())
    content["pictures"][0].update(changes)
    (folder / PICTURES_NAME).write_text(json.dumps(content))
    with pytest.raises(InputError, match="damaged"):
        read_pictures(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "[" * 100_000])
def test_read_pictures__no_such_file(kept, text):
    folder, _ = kept
    (folder / PICTURES_NAME).write_text(text)
    with pytest.raises(InputError, match="damaged"):
        read_pictures(folder)
