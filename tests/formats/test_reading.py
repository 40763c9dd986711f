"""The rules that all readers share: photos, labels and coordinates that are refused."""

from pathlib import Path

import pytest

from bunri.core.errors import AnnotationError, PathError
from bunri.formats.base import ReadOptions
from bunri.formats.reading import SetBuilder, flatten_points, make_polygon
from tests.formats.sets import write_rich_set


@pytest.fixture
def builder(tmp_path):
    return SetBuilder(tmp_path / "a.json", tmp_path, ReadOptions())


@pytest.mark.parametrize(
    ("photo", "fault"),
    [
        ((None, 10, 20), "'file_name' must be text"),
        (("a.jpg", 10, 10**9), "has more than 120000000 pixels"),
        (("a.jpg", -1, 20), "must be positive integers"),
        (("a.jpg", 10, 2.5), "must be positive integers"),
        (("b.jpg", 10, 20), "the photo 'b.jpg' is listed before"),
        (("../a.jpg", 10, 20), "contains '..'"),
        (("/a.jpg", 10, 20), "is absolute"),
        (("C:\\a.jpg", 10, 20), "is absolute"),
    ],
)
def test_add_photo__refused(builder, photo, fault):
    builder.add_photo("b.jpg", 10, 20)
    with pytest.raises((AnnotationError, PathError)) as caught:
        builder.add_photo(*photo)
    assert fault in caught.value.message


def test_add_photo__another_size_than_in_the_set_it_is_like(tmp_path):
    like = write_rich_set(tmp_path / "data")
    builder = SetBuilder(Path("a"), tmp_path, ReadOptions(like=like))
    with pytest.raises(AnnotationError, match=r"'empty\.jpg' is 20x10 here, and elsewhere 9x8"):
        builder.add_photo("empty.jpg", 10, 20)


@pytest.mark.parametrize("label", [None, 3, " ", "\ud800"])
def test_add_object__label_that_is_no_name(builder, label):
    photo = builder.add_photo("a.jpg", 10, 20)
    with pytest.raises(AnnotationError, match="the label must be text"):
        builder.add_object("here", photo, label, make_polygon([0, 0, 1, 0, 1, 1]))


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([1, "2", 3, 4, 5, 6], "must be numbers"),
        ([1, float("nan"), 3, 4, 5, 6], "must be finite"),
        ([1, 1e9, 3, 4, 5, 6], "within 100000 pixels"),
        ([0, 0, 1000, 1000] * 3000, "pixels long; the limit is 2000000"),
    ],
)
def test_make_polygon__refused(values, fault):
    with pytest.raises(AnnotationError) as caught:
        make_polygon(values)
    assert fault in caught.value.message


@pytest.mark.parametrize("value", [None, [1, 2, 3], [[1, 2, 3]], "x"])
def test_flatten_points__refused(value):
    with pytest.raises(AnnotationError, match="'points' must be a list of"):
        flatten_points(value)
