"""Several annotation files at once: roots in order, one class table by name."""

from pathlib import Path

import pytest

from bunri.core.errors import AnnotationError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.sources import pair_roots, read_together
from tests.coco_data import (
    NAMES_LATER,
    box,
    list_categories,
    make_annotation,
    make_document,
    write_coco,
)


def write_named(folder, name, names, first_id=0):
    """Write one photo with an object of the first category."""
    document = make_document(
        categories=list_categories(names, first_id),
        annotations=[make_annotation(3, 7, first_id, box(5, 8, 10, 6))],
    )
    return write_coco(folder, document, f"{name}.json")


def read(*files):
    return read_together(pair_roots(files, [], "--images"))


def test_pair_roots__photos_lie_beside_the_file_or_where_said():
    files = [Path("a/x.json"), Path("b/y.json")]
    assert pair_roots(files, [], "--images") == [(files[0], Path("a")), (files[1], Path("b"))]
    roots = [Path("c"), Path("d")]
    assert pair_roots(files, roots, "--images") == list(zip(files, roots, strict=True))


@pytest.mark.parametrize("count", [1, 3])
def test_pair_roots__numbers_differ(count):
    with pytest.raises(AnnotationError, match=rf"--val-images was given {count} time\(s\) for 2"):
        pair_roots([Path("a.json"), Path("b.json")], [Path()] * count, "--val-images")


def test_read_together__a_file_with_fewer_classes_takes_the_table_of_the_first(tmp_path):
    files = [
        write_coco(tmp_path, name="all.json"),
        write_named(tmp_path, "some", ("Metal", "Glass"), 40),
    ]
    full, fewer = read(*files)
    assert full.table is fewer.table is COMPETITION_TABLE
    assert fewer.index_of_category == {40: 5, 41: 6}


def test_read_together__cohorts_of_other_ids_agree_by_name(tmp_path):
    first = write_coco(tmp_path, name="2021.json")
    later = write_named(tmp_path, "later", NAMES_LATER, 1)
    old, new = read(first, later)
    assert old.index_of_category[1] == new.index_of_category[1] == 2  # General trash


def test_read_together__more_classes_than_the_first_are_refused_by_name(tmp_path):
    few = write_named(tmp_path, "few", ("cup", "can"))
    more = write_named(tmp_path, "more", ("cup", "can", "canister"))
    with pytest.raises(AnnotationError) as caught:
        read(few, more)
    text = str(caught.value)
    assert f"{more} does not fit the class table of {few}" in text
    assert "category 'canister': Allowed: Background, cup, can." in text
    assert "put the one with the most classes first" in text
    assert [dataset.table.names for dataset in read(more, few)] == [
        ("Background", "cup", "can", "canister")
    ] * 2


def test_read_together__the_table_is_of_the_first_file_with_labels(tmp_path):
    document = make_document()
    del document["annotations"], document["categories"]
    test = write_coco(tmp_path, document, "test.json")
    own = write_named(tmp_path, "own", ("cup", "can"))
    unlabelled, labelled = read(test, own)
    assert unlabelled.table == labelled.table
    assert labelled.table.names == ("Background", "cup", "can")
    assert (unlabelled.is_labelled, labelled.is_labelled) == (False, True)


def test_read_together__other_faults_are_told_as_they_are(tmp_path):
    good = write_coco(tmp_path, name="good.json")
    bad = write_coco(tmp_path, make_document(annotations=[{"id": 1}]), "bad.json")
    with pytest.raises(AnnotationError, match="'image_id', 'category_id', 'segmentation' missing"):
        read(good, bad)
