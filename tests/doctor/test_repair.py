"""``--fix``: each fault that has a repair is gone from the copy, and masks stay as they were."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from bunri.doctor.checks import CHECK_OF
from bunri.doctor.doctor import repair_file
from bunri.doctor.examination import Doctor, read_coco_file
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from tests.coco_data import box
from tests.doctor.clean_set import make_clean_document, write_set
from tests.doctor.plants import IMAGE_PLANTS, PHOTO_PLANTS, PLANTS, cut_off
from tests.doctor.test_doctor import copy_photo, examine, list_names


def repair(path, other=None, depth="pixels"):
    doctor = Doctor(depth)
    file = read_coco_file(path, None)
    against = None if other is None else read_coco_file(other, None)
    diagnosis = doctor.examine(file, against)
    before = path.read_bytes()
    done = repair_file(doctor, file, diagnosis, against, path.with_name("fixed.json"))
    assert path.read_bytes() == before
    lines = [json.loads(line) for line in done.log.read_text().splitlines()]
    assert lines == [asdict(change) for change in done.changes]
    return done


def read_rows(done, name):
    return json.loads(done.path.read_text())[name]


def plant_in(tmp_path, plant):
    path = write_set(tmp_path, make_clean_document())
    document = json.loads(path.read_text())
    plant(document)
    path.write_text(json.dumps(document))
    return path


def draw_masks(path):
    dataset = read_coco(path)
    return {photo.file_name: draw_mask(dataset, photo, "largest-first") for photo in dataset.photos}


REPAIRED = [(name, plant) for name, plant in PLANTS + IMAGE_PLANTS if CHECK_OF[name].repair]
# A list that is missing as a whole, or a category without a name, is for a person to put right.
LEFT_ALONE = ("missing-key",)


@pytest.mark.parametrize(("name", "plant"), REPAIRED)
def test_repair_file__fault_is_gone(tmp_path, name, plant):
    path = plant_in(tmp_path, plant)
    document = json.loads(path.read_text())
    is_left = name in LEFT_ALONE and (
        not {"images", "categories"} <= document.keys()
        or any("name" not in row for row in document["categories"])
    )
    done = repair(path, depth="json")
    assert list_names(done.left) == ({name} if is_left else set())
    assert bool(done.changes) != is_left
    assert {change.check for change in done.changes} <= {name, "ids-not-positions"}


@pytest.mark.parametrize(
    "name",
    ["missing-optional-key", "duplicate-annotation-id", "ids-not-positions", "renamed-category",
     "renumbered-categories", "category-cycle", "too-few-points", "zero-area", "self-crossing",
     "out-of-frame", "area-mismatch", "bbox-mismatch", "duplicate-annotation",
     "empty-segmentation"],
)  # fmt: skip
def test_repair_file__masks_stay_the_same(tmp_path, name):
    for position, plant in enumerate(plant for found, plant in PLANTS if found == name):
        path = plant_in(tmp_path / str(position), plant)
        if name == "duplicate-annotation-id":  # bunri refuses the original
            before = draw_masks(write_set(tmp_path / "clean", make_clean_document()))
        else:
            before = draw_masks(path)
        after = draw_masks(repair(path, depth="json").path)
        assert before.keys() == after.keys()
        assert all(np.array_equal(mask, after[file]) for file, mask in before.items())


def test_repair_file__second_entry_of_a_file_gives_its_objects_to_the_first(tmp_path):
    done = repair(plant_in(tmp_path, dict(PLANTS)["duplicate-file-name"]), depth="json")
    assert len(read_rows(done, "images")) == 6
    objects = [row for row in read_rows(done, "annotations") if row["image_id"] == 0]
    assert [row["id"] for row in objects] == [*range(11), 66]
    assert objects[-1]["bbox"] == [68, 42, 10, 6]


def test_repair_file__nothing_to_do_leaves_everything_as_it_was(tmp_path):
    path = write_set(tmp_path, make_clean_document())
    done = repair(path)
    assert done.changes == ()
    assert json.loads(done.path.read_text()) == json.loads(path.read_text())


def test_repair_file__measures_a_box(tmp_path):
    def plant(document):
        document["annotations"][7] |= {"area": 1, "bbox": [0, 0, 0, 0]}

    done = repair(plant_in(tmp_path, plant))
    row = read_rows(done, "annotations")[7]
    assert (row["area"], row["bbox"]) == (60, [68, 22, 10, 6])
    (change,) = done.changes
    assert (change.check, change.where) == ("area-mismatch", "annotations[7]")
    assert json.loads(change.before) == {"area": 1, "bbox": [0, 0, 0, 0]}
    assert json.loads(change.after) == {"area": 60, "bbox": [68, 22, 10, 6]}


@pytest.mark.parametrize(("name", "ending", "plant"), PHOTO_PLANTS)
def test_repair_file__photo_that_cannot_be_used_is_left_out(tmp_path, name, ending, plant):
    document = make_clean_document()
    document["images"][0]["file_name"] = f"photos/first{ending}"
    path = write_set(tmp_path, document)
    plant(tmp_path / "photos" / f"first{ending}")
    done = repair(path)
    if name == "photo-size-mismatch":
        assert read_rows(done, "images")[0]["height"] == 60
        assert list_names(done.left) == set()
    elif CHECK_OF[name].repair:
        files = [row["file_name"] for row in read_rows(done, "images")]
        assert files == [f"photos/a{i}.jpg" for i in range(1, 6)]
        assert [row["id"] for row in read_rows(done, "images")] == [0, 1, 2, 3, 4]
        assert {row["image_id"] for row in read_rows(done, "annotations")} == {0, 1, 2, 3, 4}
        assert list_names(done.left) == set()
    else:
        assert done.changes == ()
        assert list_names(done.left) == {name}


def test_repair_file__size_is_not_restated_where_outlines_would_not_fit(tmp_path):
    document = make_clean_document()
    document["annotations"][0] |= {"segmentation": [box(80, 2, 10, 6)], "bbox": [80, 2, 10, 6]}
    path = write_set(tmp_path, document)
    from tests.doctor.clean_set import draw_scene

    draw_scene(0, 64, 85).save(tmp_path / "photos/a0.jpg")
    done = repair(path)
    assert done.changes == ()
    assert list_names(done.left) == {"photo-size-mismatch"}


def test_repair_file__truncated_photo(tmp_path):
    path = write_set(tmp_path, make_clean_document())
    cut_off(tmp_path / "photos/a5.jpg")
    done = repair(path)
    assert len(read_rows(done, "images")) == 5
    assert not done.left.has_errors


def test_repair_file__copies_and_leaks(tmp_path):
    train = write_set(tmp_path, make_clean_document("a"), name="train")
    val = write_set(tmp_path, make_clean_document("b"), name="val", seed=100)
    copy_photo(tmp_path, "photos/b0.jpg", "photos/a3.jpg")
    copy_photo(tmp_path, "photos/a0.jpg", "photos/a1.jpg")
    assert list_names(examine(train, val)) == {"leaked-photo", "duplicate-photo"}
    done = repair(train, val)
    files = [row["file_name"] for row in read_rows(done, "images")]
    assert files == ["photos/a0.jpg", "photos/a2.jpg", "photos/a4.jpg", "photos/a5.jpg"]
    assert list_names(done.left) == {"rare-class"}


def test_repair_file__several_faults_on_top_of_each_other(tmp_path):
    def plant(document):
        # Leaves the frame; what is left has another area; its id is taken; photos are unnumbered.
        document["annotations"][0] |= {"segmentation": [box(-20, 2, 30, 6)], "id": 5}
        document["annotations"][20]["segmentation"] = [[1, 1]]
        document["annotations"][30]["category_id"] = 77
        for row in document["images"]:
            row["id"] += 3
        for row in document["annotations"]:
            row["image_id"] += 3

    done = repair(plant_in(tmp_path, plant), depth="json")
    assert list_names(done.left) == set()
    rows = read_rows(done, "annotations")
    assert len({row["id"] for row in rows}) == len(rows) == 64
    assert (rows[0]["area"], rows[0]["bbox"]) == (60, [0, 2, 10, 6])
