"""What two splits have in common."""

import io
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import InputError
from bunri.images.similarity import fingerprint_photo
from bunri.scenes import render_scene
from bunri.split.leaks import LEAK_KINDS, Leak, SplitPhoto, find_leaks, parse_kind


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(seed, 96).image for seed in range(4)]


@pytest.fixture(scope="module")
def prints(scenes):
    return [fingerprint_photo(image) for image in scenes]


@pytest.fixture(scope="module")
def copy(scenes):
    """The first scene, mirrored and encoded again."""
    content = io.BytesIO()
    Image.fromarray(scenes[0][:, ::-1]).save(content, "JPEG", quality=60)
    return fingerprint_photo(np.asarray(Image.open(content)))


def tell(leaks):
    return [(leak.kind, leak.first_name, leak.second_name) for leak in leaks]


def test_find_leaks__each_kind(prints, copy):
    a, b, c, d = prints
    splits = {
        "train": [
            SplitPhoto("a.jpg", a),
            SplitPhoto("b.jpg", b),
            SplitPhoto("scene_1_left.jpg", c, "1"),
            SplitPhoto("d.jpg"),
        ],
        "val": [
            SplitPhoto("mirrored.jpg", copy),
            SplitPhoto("again.png", b),
            SplitPhoto("scene_1_right.jpg", d, "1"),
            SplitPhoto("d.jpg"),
        ],
    }
    leaks = find_leaks(splits)
    assert tell(leaks) == [
        ("same-name", "d.jpg", "d.jpg"),
        ("same-pixels", "b.jpg", "again.png"),
        ("near-duplicate", "a.jpg", "mirrored.jpg"),
        ("same-group", "scene_1_left.jpg", "scene_1_right.jpg"),
    ]
    assert [leak.kind for leak in leaks] == list(LEAK_KINDS)
    assert [leak.similarity for leak in leaks[:2]] == [None, 1.0]
    assert 0.86 <= (leaks[2].similarity or 0) < 1
    assert str(leaks[1]) == ("same-pixels: 'b.jpg' (train) and 'again.png' (val), similarity 1.000")
    assert asdict(leaks[0]) == {
        "kind": "same-name", "first_split": "train", "first_name": "d.jpg",
        "second_split": "val", "second_name": "d.jpg", "similarity": None,
    }  # fmt: skip


def test_find_leaks__inside_one_split_nothing_leaks(prints, copy):
    photos = [SplitPhoto("a", prints[0], "1"), SplitPhoto("b", copy, "1"),
              SplitPhoto("c", prints[0], "1")]  # fmt: skip
    assert find_leaks({"train": photos, "val": [SplitPhoto("d", prints[1], "2")]}) == []
    assert find_leaks({"train": photos}) == []
    assert find_leaks({}) == []


def test_find_leaks__one_name_for_different_photos_is_no_leak(prints):
    first, second = SplitPhoto("0001.jpg", prints[0]), SplitPhoto("0001.jpg", prints[1])
    assert find_leaks({"train": [first], "test": [second]}) == []
    unseen = SplitPhoto("0001.jpg")
    assert tell(find_leaks({"train": [first], "test": [unseen]})) == [
        ("same-name", "0001.jpg", "0001.jpg")
    ]


def test_find_leaks__a_pair_is_told_once_as_the_plainest(prints):
    photo = SplitPhoto("a/b.jpg", prints[0], "1")
    windows = SplitPhoto("a\\b.jpg", prints[0], "1")
    assert find_leaks({"train": [photo], "val": [windows]}) == [
        Leak("same-name", "train", "a/b.jpg", "val", "a\\b.jpg", 1.0)
    ]


def test_find_leaks__across_three_splits(prints):
    splits = {name: [SplitPhoto(f"{name}.jpg", prints[0])] for name in ("train", "val", "test")}
    leaks = find_leaks(splits)
    assert [(leak.first_split, leak.second_split) for leak in leaks] == [
        ("train", "val"), ("train", "test"), ("val", "test"),
    ]  # fmt: skip


def test_find_leaks__a_group_is_told_once_for_two_splits():
    train = [SplitPhoto(f"t{number}", None, "1") for number in range(50)]
    val = [SplitPhoto(f"v{number}", None, "1") for number in range(50)]
    assert tell(find_leaks({"train": train, "val": val})) == [("same-group", "t0", "v0")]


def test_find_leaks__counts_photos_that_were_looked_at(prints):
    calls = []
    splits = {"train": [SplitPhoto("a", prints[0]), SplitPhoto("b")],
              "val": [SplitPhoto("c", prints[1])]}  # fmt: skip
    find_leaks(splits, lambda: calls.append(1))
    assert len(calls) == 2


def test_parse_kind__by_name():
    assert [parse_kind(kind) for kind in LEAK_KINDS] == list(LEAK_KINDS)
    with pytest.raises(
        InputError, match=r"no kind of leak 'near-duplicates'\. Did you mean 'near-d"
    ):
        parse_kind("near-duplicates")
