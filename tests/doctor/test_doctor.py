"""Every fault of the doctor's list, planted one at a time: found, and nothing else."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bunri.doctor.checks import CHECK_OF, CHECKS
from bunri.doctor.examination import Doctor, read_coco_file
from tests.coco_data import box
from tests.doctor.clean_set import HEIGHT, WIDTH, make_clean_document, write_set
from tests.doctor.plants import IMAGE_PLANTS, PHOTO_PLANTS, PLANTS, cut_off, overlap


def examine(path, other=None, depth="pixels", model=None):
    doctor = Doctor(depth, model=model)
    against = None if other is None else read_coco_file(other, None)
    return doctor.examine(read_coco_file(path, None), against)


def list_names(diagnosis):
    return {finding.check.name for finding in diagnosis.findings}


def find(diagnosis, name):
    return next(finding for finding in diagnosis.findings if finding.check.name == name)


@pytest.mark.parametrize("depth", ["json", "headers", "pixels"])
def test_examine__clean_set(tmp_path, depth):
    path = write_set(tmp_path, make_clean_document())
    diagnosis = examine(path, depth=depth)
    assert diagnosis.findings == ()
    assert not diagnosis.has_errors
    assert (diagnosis.num_photos, diagnosis.num_annotations) == (6, 66)


def test_examine__two_clean_splits(tmp_path):
    path = write_set(tmp_path, make_clean_document("a"), name="train")
    other = write_set(tmp_path, make_clean_document("b"), name="val", seed=100)
    diagnosis = examine(path, other)
    assert diagnosis.findings == ()
    assert {check.name for check in diagnosis.skipped} == {"suspicious-label"}


# --- one file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "plant"), PLANTS + IMAGE_PLANTS)
def test_examine__fault_of_the_json(tmp_path, name, plant):
    path = write_set(tmp_path, make_clean_document())
    document = json.loads(path.read_text())
    plant(document)
    path.write_text(json.dumps(document))
    diagnosis = examine(path, depth="json")
    assert list_names(diagnosis) == {name}
    assert find(diagnosis, name).count == 1 or name in ("duplicate-category-name",)
    assert diagnosis.has_errors == (CHECK_OF[name].severity == "error")


def test_examine__names_the_place(tmp_path):
    path = write_set(tmp_path, make_clean_document())
    document = json.loads(path.read_text())
    document["annotations"][13]["area"] = 7
    path.write_text(json.dumps(document))
    (example,) = find(examine(path), "area-mismatch").examples
    assert (example.file, example.photo_id, example.annotation_id) == ("photos/a1.jpg", 1, 13)
    assert example.row == ("annotations", 13)
    assert str(example) == "photos/a1.jpg, annotation 13: 'area' is 7, drawn are 60 px"


def test_examine__share_of_pixels_that_the_rule_decides(tmp_path):
    document = make_clean_document()
    overlap(low_first=False)(document)
    diagnosis = examine(write_set(tmp_path, document))
    (example,) = find(diagnosis, "overlap-rule-matters").examples
    assert "60 px (0.98 %) contested; the rules differ in 60 px" in str(example)
    assert diagnosis.summary == {"contested_pixel_share": 60 / (6 * HEIGHT * WIDTH)}


@pytest.mark.parametrize(("name", "ending", "plant"), PHOTO_PLANTS)
@pytest.mark.parametrize("depth", ["headers", "pixels"])
def test_examine__fault_of_a_photo(tmp_path, name, ending, plant, depth):
    document = make_clean_document()
    document["images"][0]["file_name"] = f"photos/first{ending}"
    path = write_set(tmp_path, document)
    plant(tmp_path / "photos" / f"first{ending}")
    diagnosis = examine(path, depth=depth)
    assert list_names(diagnosis) == {name}
    assert find(diagnosis, name).examples[0].file == f"photos/first{ending}"


def test_examine__truncated_photo_is_seen_when_decoded(tmp_path):
    path = write_set(tmp_path, make_clean_document())
    cut_off(tmp_path / "photos" / "a0.jpg")
    assert list_names(examine(path, depth="headers")) == set()
    assert list_names(examine(path)) == {"photo-truncated"}


def test_examine__oversized_photo(tmp_path, monkeypatch):
    path = write_set(tmp_path, make_clean_document())
    monkeypatch.setattr("bunri.doctor.photo_checks.MAX_PHOTO_PIXELS", HEIGHT * WIDTH - 1)
    assert find(examine(path), "photo-oversized").count == 6
    monkeypatch.setattr("bunri.doctor.photo_checks.MAX_PHOTO_BYTES", 100)
    diagnosis = examine(path)
    assert list_names(diagnosis) == {"photo-oversized"}
    assert "bytes" in find(diagnosis, "photo-oversized").examples[0].note


def test_examine__name_that_no_file_can_have(tmp_path):
    document = make_clean_document()
    path = write_set(tmp_path, document)
    document["images"][0]["file_name"] = "x" * 5000
    path.write_text(json.dumps(document))
    assert list_names(examine(path)) <= {"photo-unreadable", "bad-path"}
    assert examine(path).has_errors


# --- copies -------------------------------------------------------------------------------------


def copy_photo(folder, source, target):
    (folder / target).write_bytes((folder / source).read_bytes())


def test_examine__copy_with_the_same_labels(tmp_path):
    path = write_set(tmp_path, make_clean_document())
    copy_photo(tmp_path, "photos/a1.jpg", "photos/a4.jpg")
    diagnosis = examine(path)
    assert list_names(diagnosis) == {"duplicate-photo"}
    (example,) = find(diagnosis, "duplicate-photo").examples
    assert (example.file, example.other_file) == ("photos/a4.jpg", "photos/a1.jpg")


def test_examine__copy_with_other_labels(tmp_path):
    document = make_clean_document()
    document["annotations"][1]["category_id"] = 5
    path = write_set(tmp_path, document)
    copy_photo(tmp_path, "photos/a0.jpg", "photos/a3.jpg")
    assert list_names(examine(path)) == {"conflicting-labels"}


def test_examine__flipped_copy(tmp_path):
    path = write_set(tmp_path, make_clean_document())
    flipped = Image.open(tmp_path / "photos/a2.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    flipped.save(tmp_path / "photos/a5.jpg", quality=80)
    diagnosis = examine(path)
    assert list_names(diagnosis) == {"near-duplicate-photo"}
    assert find(diagnosis, "near-duplicate-photo").examples[0].other_file == "photos/a2.jpg"


# --- against another split ----------------------------------------------------------------------


@pytest.fixture
def splits(tmp_path):
    train = write_set(tmp_path, make_clean_document("a"), name="train")
    val = write_set(tmp_path, make_clean_document("b"), name="val", seed=100)
    return train, val


def test_examine__same_file_in_both_splits(splits):
    train, val = splits
    document = json.loads(val.read_text())
    document["images"][2]["file_name"] = "photos/a4.jpg"
    val.write_text(json.dumps(document))
    diagnosis = examine(train, val)
    assert list_names(diagnosis) == {"shared-file-name"}
    assert find(diagnosis, "shared-file-name").examples[0].file == "photos/a4.jpg"


def test_examine__same_name_in_two_folders_is_no_leak(tmp_path):
    train = write_set(tmp_path / "one", make_clean_document())
    val = write_set(tmp_path / "two", make_clean_document(), seed=100)
    assert examine(train, val).findings == ()


def test_examine__leaked_photo(splits):
    train, val = splits
    copy_photo(train.parent, "photos/b0.jpg", "photos/a3.jpg")
    diagnosis = examine(train, val)
    assert list_names(diagnosis) == {"leaked-photo"}
    assert find(diagnosis, "leaked-photo").examples[0].other_file == "photos/b0.jpg"


def test_examine__near_leaked_photo(splits):
    train, val = splits
    image = Image.open(train.parent / "photos/b0.jpg")
    image.point(lambda v: min(255, int(v * 1.2))).save(train.parent / "photos/a3.jpg", quality=70)
    assert list_names(examine(train, val)) == {"near-leaked-photo"}


def test_examine__categories_differ(splits):
    train, val = splits
    document = json.loads(val.read_text())
    document["categories"][4]["id"], document["categories"][5]["id"] = 5, 4
    val.write_text(json.dumps(document))
    diagnosis = examine(train, val)
    assert list_names(diagnosis) == {"categories-differ"}
    assert find(diagnosis, "categories-differ").count == 2


def test_examine__class_absent_from_a_split(splits):
    train, val = splits
    document = json.loads(val.read_text())
    document["annotations"] = [row for row in document["annotations"] if row["category_id"] != 9]
    val.write_text(json.dumps(document))
    diagnosis = examine(train, val)
    assert list_names(diagnosis) == {"class-absent"}
    assert str(find(diagnosis, "class-absent").examples[0]) == (
        "Battery: 6 photo(s) here, 0 there"
    )  # fmt: skip


# --- with a model -------------------------------------------------------------------------------


def test_examine__label_that_a_model_contradicts(tmp_path):
    from bunri.core.waste_classes import COMPETITION_TABLE
    from bunri.labels.coco import read_coco
    from bunri.labels.overlap import draw_mask

    document = make_clean_document()
    for row in document["annotations"]:  # large enough to be judged
        x, y, _, _ = row["bbox"]
        row |= {"segmentation": [box(x, y, 10, 10)], "area": 100, "bbox": [x, y, 10, 10]}
    truth = write_set(tmp_path, document, name="truth")
    dataset = read_coco(truth)
    answers = {}
    for photo in dataset.photos:
        mask = draw_mask(dataset, photo, "largest-first")
        probs = np.full((12, HEIGHT, WIDTH), 0.01, np.float32)
        np.put_along_axis(probs, mask[None].astype(int), 0.89, axis=0)
        image = np.asarray(Image.open(tmp_path / photo.file_name))
        answers[image.tobytes()] = probs
    document["annotations"][0]["category_id"] = 4  # Metal, but the model sees UNKNOWN
    path = write_set(tmp_path, document)
    model = SimpleNamespace(
        table=COMPETITION_TABLE, predict_probs=lambda image: answers[image.tobytes()]
    )
    diagnosis = examine(path, model=model)
    assert list_names(diagnosis) == {"suspicious-label"}
    (example,) = find(diagnosis, "suspicious-label").examples
    assert example.annotation_id == 0
    assert "labelled Metal, looks like UNKNOWN (0.89)" in example.note


def test_checks__are_many_and_complete():
    assert len(CHECKS) >= 25
    assert len(CHECK_OF) == len(CHECKS)
    for check in CHECKS:
        assert all(text.endswith(".") for text in (check.title, check.effect, check.advice)), check
