"""Probabilities as files, and masks drawn from them as often as they are probable."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bunri.core.errors import AnnotationError, BunriError, ImageError, PathError
from bunri.core.files import hash_file
from bunri.core.waste_classes import choose_class_table
from bunri.labels.records import LabelledSet, Photo, SoftLabels
from bunri.labels.soft import MAX_SIDE_PX, draw_soft_mask, read_planes, shrink_plane, write_planes

TABLE = choose_class_table(["Can", "Cup"])
SHARES = (np.arange(255) + 0.5) / 255


def make_set(folder, planes, size_hw, table=TABLE):
    """Return a set of one photo; planes are the background's, Can's (id 4) and Cup's (id 9)."""
    write_planes(folder / "soft" / "0.png", planes)
    listed = SoftLabels("soft/0.png", hash_file(folder / "soft" / "0.png"))
    return LabelledSet(
        folder / "p.json", folder, (Photo(1, "a.jpg", *size_hw),), {}, {4: "Can", 9: "Cup"}, table,
        is_labelled=True, soft={1: listed},
        index_of_category={4: table.index_of("Can"), 9: table.index_of("Cup")},
    )  # fmt: skip


def split_255(seed, size_hw):
    """Return uint8 (3, H, W) that sums to 255 at every pixel."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, 256, (2, *size_hw)), axis=0)
    return np.diff(cuts, axis=0, prepend=0, append=255).astype(np.uint8)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_draw_soft_mask__each_class_as_often_as_it_is_probable(tmp_path_factory, seed):
    """Over 255 shares a pixel becomes a class exactly as often as its plane says."""
    planes = split_255(seed, (5, 7))
    dataset = make_set(tmp_path_factory.mktemp("soft"), planes, (5, 7))
    photo = dataset.photos[0]
    masks = np.stack([draw_soft_mask(dataset, photo, share) for share in SHARES])
    assert masks.dtype == np.uint8
    counts = np.stack([(masks == index).sum(0) for index in range(3)])
    np.testing.assert_array_equal(counts, planes)


def test_draw_soft_mask__at_the_photos_size_from_smaller_planes(tmp_path):
    planes = np.zeros((3, 8, 16), np.uint8)
    planes[0, :, :8], planes[1, :, 8:] = 255, 255
    dataset = make_set(tmp_path, planes, (40, 80))
    mask = draw_soft_mask(dataset, dataset.photos[0], 0.5)
    assert mask.shape == (40, 80)
    assert (mask[:, :37] == 0).all()
    assert (mask[:, 43:] == 1).all()


def test_draw_soft_mask__classes_follow_names_and_not_the_order_of_planes(tmp_path):
    table = choose_class_table(["Lid", "Cup", "Can"])
    planes = np.zeros((3, 4, 4), np.uint8)
    planes[1, :2], planes[2, 2:] = 255, 255
    dataset = make_set(tmp_path, planes, (4, 4), table)
    mask = draw_soft_mask(dataset, dataset.photos[0], 0.3)
    assert (mask[:2] == 3).all()
    assert (mask[2:] == 2).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1, exclude_max=True))
@settings(max_examples=20)
def test_draw_soft_mask__never_a_class_without_probability(tmp_path_factory, seed, share):
    planes = np.random.default_rng(seed).integers(0, 100, (3, 6, 6)).astype(np.uint8)
    planes[1] = 0
    planes[0] += 1
    dataset = make_set(tmp_path_factory.mktemp("soft"), planes, (9, 9))
    assert set(np.unique(draw_soft_mask(dataset, dataset.photos[0], share))) <= {0, 2}


def test_shrink_plane__by_hand():
    plane = np.full((600, 300), 0.2, np.float32)
    assert shrink_plane(plane).shape == (MAX_SIDE_PX, MAX_SIDE_PX // 2)
    assert (shrink_plane(plane) == 51).all()
    assert shrink_plane(np.ones((3, 5), np.float32)).tolist() == [[255] * 5] * 3


def test_read_planes__round_trip(tmp_path):
    planes = split_255(3, (6, 4))
    dataset = make_set(tmp_path, planes, (6, 4))
    np.testing.assert_array_equal(read_planes(dataset, dataset.photos[0]), planes)


# -- files that are not as they were -----------------------------------------------------------


def spoil(dataset, content=None, **changes):
    """Change the file, its record or both such that they agree but for what is asked."""
    path = dataset.image_root / "soft" / "0.png"
    if content is not None:
        path.write_bytes(content)
        changes = {"sha256": hash_file(path)} | changes
    return replace(dataset, soft={1: replace(dataset.soft[1], **changes)})


@pytest.mark.parametrize(
    ("content", "changes", "error", "message"),
    [
        (None, {"sha256": "0" * 64}, AnnotationError, "is not the file that p.json names"),
        (None, {"file_name": "soft/1.png"}, AnnotationError, "does not exist, but p.json names"),
        (None, {"file_name": "../x.png"}, PathError, "contains '..'"),
        (None, {"file_name": "/etc/passwd"}, PathError, "is absolute"),
        (b"no picture", {}, ImageError, "is not a photo"),
    ],
)
def test_read_planes__refused(tmp_path, content, changes, error, message):
    dataset = spoil(make_set(tmp_path, split_255(0, (4, 4)), (4, 4)), content, **changes)
    with pytest.raises(error, match=message) as caught:
        read_planes(dataset, dataset.photos[0])
    assert isinstance(caught.value, BunriError)


def test_read_planes__of_another_number_of_classes(tmp_path):
    dataset = make_set(tmp_path, split_255(0, (4, 4)), (4, 4))
    path = tmp_path / "soft" / "0.png"
    Image.fromarray(np.zeros((13, 4), np.uint8)).save(path)
    dataset = spoil(dataset, sha256=hash_file(path))
    with pytest.raises(AnnotationError, match="the planes of 3 classes"):
        read_planes(dataset, dataset.photos[0])
