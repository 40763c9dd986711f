"""Labels that are a model's are known as such, and pixels that count for nothing stay so."""

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bunri.core.contracts import IGNORE_INDEX
from bunri.core.errors import AnnotationError
from bunri.labels import rasterize
from bunri.labels.coco import read_coco, require_truth
from bunri.labels.document import read_document, select_photos, write_document
from bunri.labels.outlines import encode_region
from bunri.labels.overlap import draw_mask
from bunri.labels.pseudo import (
    describe_teacher,
    describes_pseudo_labels,
    pack_hashes,
    read_teacher_photos,
    shorten_hash,
    unpack_hashes,
)
from bunri.labels.rules import OverlapRule
from bunri.labels.run_lengths import encode_counts
from tests.coco_data import box, make_annotation, make_document, make_image, write_coco

RULE: OverlapRule = "largest-first"


def draw_corner() -> np.ndarray:
    """Return 30 x 40 pixels whose left 8 columns are marked: they take 3 of the Paper's 10."""
    region = np.zeros((30, 40), np.bool_)
    region[:, :8] = True
    return region


def ignore(region: np.ndarray, **changes):
    """Return the usual document with a region of its photo to be ignored."""
    runs = encode_region(region)
    ignored = {"size": list(runs.size_hw), "counts": encode_counts(runs.counts)} | changes
    return make_document(images=[make_image(7, "batch_01/0001.jpg") | {"ignored": ignored}])


# --- ignored pixels -----------------------------------------------------------------------------


def test_ignored__is_255_in_the_mask_and_on_top_of_objects(tmp_path):
    dataset = read_coco(write_coco(tmp_path, ignore(draw_corner())))
    mask = draw_mask(dataset, dataset.photos[0], RULE)
    expected = np.zeros((30, 40), np.uint8)
    expected[8:14, 5:15] = 3  # Paper
    expected[:, :8] = IGNORE_INDEX
    np.testing.assert_array_equal(mask, expected)
    assert (mask == 3).sum() == 6 * 7


def test_ignored__also_where_objects_are_too_many_to_be_held_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(rasterize, "_MAX_CROSSINGS", 1)
    document = ignore(draw_corner())
    document["annotations"].append(make_annotation(4, 7, 4, box(20, 20, 5, 5)))
    dataset = read_coco(write_coco(tmp_path, document))
    mask = draw_mask(dataset, dataset.photos[0], RULE)
    counts = {index: int((mask == index).sum()) for index in np.unique(mask).tolist()}
    assert counts == {0: 1200 - 240 - 42 - 25, 3: 42, 5: 25, 255: 240}


def test_ignored__as_pycocotools_decodes_it(tmp_path):
    noise = np.random.default_rng(3).random((30, 40)) < 0.4
    document = ignore(noise)
    decoded = coco_mask.decode(document["images"][0]["ignored"])
    np.testing.assert_array_equal(decoded.astype(bool), noise)
    dataset = read_coco(write_coco(tmp_path, document))
    mask = draw_mask(dataset, dataset.photos[0], RULE)
    np.testing.assert_array_equal(mask == IGNORE_INDEX, noise)


@pytest.mark.parametrize(
    ("ignored", "message"),
    [
        ({"size": [40, 30]}, "the photo \\[30, 40\\]"),
        ({"counts": "1"}, "'ignored': run lengths cover 1 pixels"),
        ({"counts": [5]}, "cover 5 pixels"),
    ],
)
def test_ignored__run_lengths_that_do_not_fit(tmp_path, ignored, message):
    path = write_coco(tmp_path, ignore(draw_corner(), **ignored))
    with pytest.raises(AnnotationError, match="fault") as caught:
        read_coco(path)
    assert "images[0] (id 7)" in caught.value.problems[0]
    assert caught.match("(?s)" + message)


def test_ignored__an_outline(tmp_path):
    document = make_document()
    document["images"][0]["ignored"] = [box(0, 0, 4, 4)]
    with pytest.raises(AnnotationError) as caught:
        read_coco(write_coco(tmp_path, document))
    assert caught.value.problems == ("images[0] (id 7): 'ignored' must be run lengths",)


def test_ignored__goes_with_its_photo_into_a_split(tmp_path):
    document = ignore(draw_corner())
    document["images"].insert(0, make_image(2, "b.jpg"))
    path = write_coco(tmp_path, document)
    write_document(tmp_path / "part.json", select_photos(read_document(path), [7]))
    dataset = read_coco(tmp_path / "part.json")
    assert list(dataset.ignored) == [0]


# --- marks --------------------------------------------------------------------------------------


def mark_info():
    return make_document(info={"pseudo_labels": {"teachers": []}})


def mark_one_object():
    row = make_annotation(3, 7, 2, box(5, 8, 10, 6), pseudo=True)
    return make_document(annotations=[row, make_annotation(4, 7, 2, box(20, 8, 4, 4))])


@pytest.mark.parametrize("make", [mark_info, mark_one_object])
def test_read_coco__either_mark_is_enough(tmp_path, make):
    dataset = read_coco(write_coco(tmp_path, make()))
    assert dataset.is_pseudo
    with pytest.raises(AnnotationError, match=r"holds pseudo-labels.*\n.*--allow-pseudo"):
        require_truth(dataset)


@pytest.mark.parametrize(
    "document",
    [
        make_document(),
        make_document(info=None),
        make_document(info=["pseudo_labels"]),
        make_document(info={"pseudo_labels": "no"}),
        make_document(annotations=[make_annotation(3, 7, 2, box(5, 8, 10, 6), pseudo=False)]),
    ],
)
def test_read_coco__without_a_mark_labels_are_true(tmp_path, document):
    dataset = read_coco(write_coco(tmp_path, document))
    assert not dataset.is_pseudo
    assert require_truth(dataset) is dataset


def test_read_coco__photos_alone_whatever_the_labels_are(tmp_path):
    row = make_annotation(3, 99, 77, [1.0], pseudo=True)
    document = make_document(annotations=[row], categories="none")
    path = write_coco(tmp_path, document)
    with pytest.raises(AnnotationError):
        read_coco(path)
    dataset = read_coco(path, takes_labels=False)
    assert [photo.file_name for photo in dataset.photos] == ["batch_01/0001.jpg"]
    assert not dataset.is_labelled
    assert not dataset.is_pseudo
    assert dataset.licenses == ("CC BY 4.0",)


# --- hashes of photos ---------------------------------------------------------------------------

digests = st.text(string.hexdigits[:16], min_size=64, max_size=64)


@given(st.lists(digests))
def test_pack_hashes__round_trip(hashes):
    short = frozenset(map(shorten_hash, hashes))
    assert unpack_hashes(pack_hashes(short)) == short
    assert unpack_hashes(pack_hashes(sorted(short, reverse=True))) == short


@pytest.mark.parametrize("text", [None, 5, ["0" * 16], "0" * 15, "0" * 17, "G" * 16, "ABCDEF" * 3])
def test_unpack_hashes__anything_else(text):
    assert unpack_hashes(text) is None


def test_read_teacher_photos__of_all_teachers():
    teachers = [
        describe_teacher("runs/a", "0" * 64, ["b" * 16, "a" * 16]),
        describe_teacher("runs/b", "1" * 64, ["c" * 16, "a" * 16]),
    ]
    document = make_document(info={"pseudo_labels": {"teachers": teachers}})
    assert read_teacher_photos(document) == {"a" * 16, "b" * 16, "c" * 16}


@pytest.mark.parametrize(
    "teachers", [None, 7, [7], [{}], [{"trained_on": "x"}], [{"trained_on": 1}]]
)
def test_read_teacher_photos__damaged(teachers):
    document = make_document(info={"pseudo_labels": {"teachers": teachers}})
    assert read_teacher_photos(document) == frozenset()
    assert describes_pseudo_labels(document)
