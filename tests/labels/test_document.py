"""Taking photos out of a document: numbered anew, everything else as it was."""

import copy

import pytest

from bunri.core.errors import AnnotationError
from bunri.labels.coco import read_coco
from bunri.labels.document import select_photos
from bunri.labels.overlap import draw_mask
from tests.coco_data import box, make_annotation, make_document, make_image, write_coco


@pytest.fixture
def document():
    """Three photos whose ids are neither positions nor in order, their objects mixed up."""
    return make_document(
        images=[
            {**make_image(7, "a.jpg"), "license": 0, "flickr_url": None},
            make_image(3, "b.jpg"),
            make_image(12, "여.jpg"),
        ],
        annotations=[
            make_annotation(50, 3, 2, box(5, 8, 10, 6)),
            make_annotation(4, 12, 9, box(0, 0, 3, 3), note="kept"),
            make_annotation(9, 7, 1, box(1, 1, 2, 2)),
            make_annotation(1, 3, 5, box(6, 9, 4, 4)),
        ],
        info={"year": 2021},
        extra=[1, 2],
    )


def test_select_photos__numbers_anew_and_keeps_the_rest(document):
    before = copy.deepcopy(document)
    selected = select_photos(document, [12, 3])
    assert document == before
    assert list(selected) == list(document)
    assert selected["images"] == [make_image(0, "여.jpg"), make_image(1, "b.jpg")]
    assert selected["annotations"] == [
        make_annotation(0, 0, 9, box(0, 0, 3, 3), note="kept"),
        make_annotation(1, 1, 2, box(5, 8, 10, 6)),
        make_annotation(2, 1, 5, box(6, 9, 4, 4)),
    ]
    for key in ("info", "licenses", "categories", "extra"):
        assert selected[key] == document[key]


def test_select_photos__masks_stay_the_same(document, tmp_path):
    whole = read_coco(write_coco(tmp_path, document))
    part = read_coco(write_coco(tmp_path, select_photos(document, [3, 7]), "part.json"))
    masks = {p.file_name: draw_mask(whole, p, "largest-first") for p in whole.photos}
    for photo in part.photos:
        assert (draw_mask(part, photo, "largest-first") == masks[photo.file_name]).all()
    assert [photo.id for photo in part.photos] == [0, 1]


@pytest.mark.parametrize("annotations", ["absent", None])
def test_select_photos__a_set_without_labels_stays_one(document, annotations):
    if annotations is None:
        document["annotations"] = None
    else:
        del document["annotations"]
    selected = select_photos(document, [7])
    assert selected.keys() == document.keys()
    assert selected.get("annotations") is None
    assert selected["images"] == [{**document["images"][0], "id": 0}]


def test_select_photos__none_and_all(document):
    empty = select_photos(document, [])
    assert (empty["images"], empty["annotations"]) == ([], [])
    assert len(select_photos(document, [7, 3, 12])["annotations"]) == 4


def test_select_photos__unknown_photo(document):
    with pytest.raises(AnnotationError, match="no image with id 4"):
        select_photos(document, [7, 4])
