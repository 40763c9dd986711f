"""What teachers are sure of, with teachers whose probabilities are given by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bunri.core.errors import AnnotationError, ImageError, InputError, PathError
from bunri.core.waste_classes import COMPETITION_TABLE, choose_class_table
from bunri.images.frames import Preprocessing
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.rules import OVERLAP_RULES
from bunri.labels.soft import draw_soft_mask, read_planes
from bunri.model.info import BundleInfo
from bunri.model.lookup import StoredModel
from bunri.predict.ensemble import Ensemble
from bunri.predict.predictor import Predictor
from bunri.predict.pseudo_labels import (
    SoftPlace,
    describe_pseudo_labels,
    find_unlabelled,
    label_photo,
    label_photos,
    measure_shares,
    parse_thresholds,
)
from bunri.training.config import load_config
from bunri.training.samples.data import PhotoStore, TrainingStream
from tests.builders import change_document, write_data, write_document
from tests.predict.fakes import FakeMember

TABLE = choose_class_table(["Can", "Cup"])


class FixedBackend:
    """Gives the same probabilities whatever the photo."""

    def __init__(self, probs):
        self.probs = np.asarray(probs, np.float32)

    def predict_probs(self, pixels):
        assert pixels.shape[1:] == self.probs.shape[1:]
        return self.probs


def make_teacher(probs, table=TABLE, **info):
    size_px = np.asarray(probs).shape[1]
    preprocessing = Preprocessing(size_px, (0.0,) * 3, (1.0,) * 3)
    bundle = BundleInfo(table, preprocessing, {}, weights_sha256="5" * 64, **info)
    return Predictor(bundle, FixedBackend(probs))


def combine(*predictors):
    members = [FakeMember(f"t{i}", one) for i, one in enumerate(predictors)]
    return Ensemble(members, [1.0] * len(members))


def describe(labelled, predictor, thresholds):
    predictor.stored = (StoredModel("t", Path("t"), predictor.info),)
    return describe_pseudo_labels(labelled, predictor, thresholds)


def make_probs(*columns):
    """Return float32 (C, 32, 32); each column's pixels have the probabilities given."""
    probs = np.zeros((len(columns[0]), 32, 32), np.float32)
    for number, column in enumerate(columns):
        probs[:, :, number] = np.array(column)[:, None]
    probs[0, :, len(columns) :] = 1.0
    return probs


IMAGE = np.zeros((32, 32, 3), np.uint8)
PLAIN = ("input.size_px=64", "augment.crop_size_px=null")
SEVEN = np.full(3, 0.7, np.float32)


# -- one photo -------------------------------------------------------------------------------


def test_label_photo__where_the_best_class_is_sure_enough():
    teacher = make_teacher(make_probs((0.1, 0.8, 0.1), (0.2, 0.2, 0.6), (0.7, 0.2, 0.1), (0, 0, 1)))
    mask = label_photo(teacher, IMAGE, SEVEN)[0]
    assert mask.dtype == np.uint8
    assert mask[0, :5].tolist() == [1, 255, 0, 2, 0]
    assert (mask == mask[:1]).all()


def test_label_photo__a_threshold_of_each_class():
    teacher = make_teacher(make_probs((0.1, 0.6, 0.3), (0.1, 0.3, 0.6), (0.6, 0.2, 0.2)))
    thresholds = np.array([0.65, 0.5, 0.7], np.float32)
    assert label_photo(teacher, IMAGE, thresholds)[0][0, :4].tolist() == [1, 255, 255, 0]


def test_label_photo__the_mean_of_teachers_decides():
    """Column 0: both are unsure of different classes; column 1: one outvotes the other."""
    first = make_teacher(make_probs((0.1, 0.9, 0.0), (0.0, 1.0, 0.0), (0.4, 0.6, 0.0)))
    second = make_teacher(make_probs((0.1, 0.0, 0.9), (0.0, 0.5, 0.5), (0.1, 0.9, 0.0)))
    for teachers in ((first, second), (second, first)):
        assert label_photo(combine(*teachers), IMAGE, SEVEN)[0][0, :3].tolist() == [255, 1, 1]
    assert label_photo(first, IMAGE, SEVEN)[0][0, :3].tolist() == [1, 1, 255]


def test_label_photo__teachers_of_other_frames_meet_in_the_photos():
    small = make_teacher(
        np.broadcast_to(np.array([0, 1, 0], np.float32)[:, None, None], (3, 32, 32))
    )
    large = make_teacher(
        np.broadcast_to(np.array([0, 0.5, 0.5], np.float32)[:, None, None], (3, 64, 64))
    )
    mask = label_photo(combine(small, large), np.zeros((48, 48, 3), np.uint8), SEVEN)[0]
    assert mask.shape == (48, 48)
    assert (mask == 1).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1, width=32))
def test_label_photo__is_argmax_and_max_of_the_mean(seed, threshold):
    rng = np.random.default_rng(seed)
    stacks = rng.dirichlet((0.5,) * 3, (2, 32, 32)).astype(np.float32).transpose(0, 3, 1, 2)
    teachers = [make_teacher(p) for p in stacks]
    mask, _ = label_photo(combine(*teachers), IMAGE, np.full(3, threshold, np.float32))
    mean = stacks.mean(0)
    expected = np.where(mean.max(0) >= np.float32(threshold), mean.argmax(0), 255)
    np.testing.assert_array_equal(mask, expected)


# -- thresholds and tables -------------------------------------------------------------------


def test_parse_thresholds__default_and_named():
    thresholds = parse_thresholds(TABLE, 0.7, ["cup=0.5", "Background=0.9"])
    assert thresholds.tolist() == pytest.approx([0.9, 0.7, 0.5])


def test_parse_thresholds__all_faults_at_once():
    texts = ["Cap=0.5", "Can", "Can=high", "Can=1.5", "Can=nan", "Cup=0.5", "cup=0.6", "=0.5"]
    with pytest.raises(InputError, match="NAME=NUMBER") as caught:
        parse_thresholds(TABLE, 0.7, texts)
    problems = "\n".join(caught.value.problems)
    assert "'Cap=0.5': There is no class 'Cap'. Did you mean 'Cup' or 'Can'?" in problems
    assert "'Can=high': 'high' is not a number" in problems
    assert "'Can=1.5': a probability is from 0 to 1" in problems
    assert "'Can=nan': a probability is from 0 to 1" in problems
    assert "'cup=0.6': 'Cup' was given before" in problems
    assert "'=0.5'" in problems
    assert "'Can': there is no '='" in problems


# -- photos ----------------------------------------------------------------------------------


def write_photos(folder, *names, size_hw=(32, 32)):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size_hw, 3), number, np.uint8)).save(path)


def test_find_unlabelled__a_folder_in_a_fixed_order(tmp_path):
    write_photos(tmp_path, "b/2.png", "a.png", "b/1.jpg", "병.webp", "b/1.png")
    (tmp_path / "note.txt").write_text("no photo")
    found = find_unlabelled(tmp_path, None, TABLE)
    assert [p.file_name for p in found.photos] == [
        "a.png",
        "b/1.jpg",
        "b/1.png",
        "b/2.png",
        "병.webp",
    ]
    assert [p.id for p in found.photos] == [0, 1, 2, 3, 4]
    assert found.image_root == tmp_path
    assert all(p.size_hw == (32, 32) for p in found.photos)


def test_find_unlabelled__nothing_there(tmp_path):
    with pytest.raises(PathError, match="holds no photo"):
        find_unlabelled(tmp_path, None, TABLE)
    with pytest.raises(PathError, match="does not exist"):
        find_unlabelled(tmp_path / "none.json", None, TABLE)


def test_find_unlabelled__broken_photos_of_a_folder_are_listed(tmp_path):
    write_photos(tmp_path, "a.png")
    for name in ("b.png", "c.jpg"):
        (tmp_path / name).write_bytes(b"no photo")
    with pytest.raises(ImageError, match="2 photo") as caught:
        find_unlabelled(tmp_path, None, TABLE)
    assert "b.png" in caught.value.problems[0]


def test_find_unlabelled__a_file_whose_photos_are_missing(tmp_path):
    data = write_data(tmp_path)
    (tmp_path / "batch_01" / "test_0001.png").unlink()
    with pytest.raises(AnnotationError, match="1 of 3 photos"):
        find_unlabelled(data.test, None, TABLE)


# -- sets ------------------------------------------------------------------------------------


def label_folder(folder, *columns, thresholds=SEVEN, names=("a.png", "b.png")):
    write_photos(folder, *names)
    teacher = make_teacher(make_probs(*columns), photo_hashes=frozenset({"a" * 16}))
    unlabelled = find_unlabelled(folder, None, TABLE)
    return label_photos(teacher, unlabelled, thresholds), teacher


def test_label_photos__read_back_are_the_same_masks_under_any_rule(tmp_path):
    labelled, teacher = label_folder(
        tmp_path, (0, 1, 0), (0, 0, 1), (0.4, 0.3, 0.3), (0, 1, 0), (1, 0, 0)
    )
    path = write_document(tmp_path / "p.json", describe(labelled, teacher, SEVEN))
    read = read_coco(path)
    assert read.is_pseudo
    assert read.table.names == TABLE.names
    assert read.teacher_photos == {"a" * 16}
    for photo in read.photos:
        for rule in OVERLAP_RULES:
            mask = draw_mask(read, photo, rule)
            assert mask[0, :6].tolist() == [1, 2, 255, 1, 0, 0]
            assert (mask == mask[:1]).all()


def test_label_photos__a_photo_of_background_and_one_of_doubt(tmp_path):
    labelled, _ = label_folder(tmp_path / "sure", (1, 0, 0))
    assert not labelled.annotations
    assert not labelled.ignored
    flat = [(0.5, 0.3, 0.2)] * 32
    labelled, _ = label_folder(tmp_path / "unsure", *flat)
    assert not labelled.annotations
    assert sorted(labelled.ignored) == [0, 1]
    assert measure_shares(labelled)[1] == 1.0


def test_label_photos__a_photo_cut_off_further_on(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.jpg"):
        path = tmp_path / name
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:-400])
    write_photos(tmp_path, "c.png")
    unlabelled = find_unlabelled(tmp_path, None, TABLE)
    with pytest.raises(ImageError, match="2 photo") as caught:
        label_photos(make_teacher(make_probs((1, 0, 0))), unlabelled, SEVEN)
    assert len(caught.value.problems) == 2


def test_describe_pseudo_labels__origin(tmp_path):
    labelled, teacher = label_folder(tmp_path, (0, 1, 0))
    document = json.loads(json.dumps(describe(labelled, teacher, SEVEN)))
    origin = document["info"]["pseudo_labels"]
    assert origin["kind"] == "hard"
    row = {"name": "t", "sha256": "5" * 64, "trained_on": "a" * 16, "settings": {}}
    assert origin["teachers"] == [row]
    assert origin["thresholds"] == {"Background": 0.7, "Can": 0.7, "Cup": 0.7}
    assert origin["photos"] == {"source": str(tmp_path), "sha256": None}
    assert document["annotations"][0]["pseudo"] is True
    assert document["annotations"][0]["area"] == 32
    assert document["annotations"][0]["bbox"] == [0, 0, 1, 32]
    assert document["categories"][0] == {"id": 0, "name": "Can", "supercategory": "Can"}


def test_measure_shares__by_hand(tmp_path):
    """Of 32 columns one is Can, two are Cup, one is in doubt."""
    labelled, _ = label_folder(tmp_path, (0, 1, 0), (0, 0, 1), (0, 0, 1), (0.4, 0.3, 0.3))
    shares, unsure = measure_shares(labelled)
    assert shares == pytest.approx({"Background": 28 / 32, "Can": 1 / 32, "Cup": 2 / 32})
    assert unsure == pytest.approx(1 / 32)


def test_label_photos__categories_follow_the_2021_rule(tmp_path):
    write_photos(tmp_path, "a.png")
    probs = np.zeros((12, 32, 32), np.float32)
    probs[6] = 1.0
    teacher = make_teacher(probs, table=COMPETITION_TABLE)
    unlabelled = find_unlabelled(tmp_path, None, COMPETITION_TABLE)
    labelled = label_photos(teacher, unlabelled, np.zeros(12, np.float32))
    (row,) = labelled.annotations[0]
    assert row.category_id == 5
    assert labelled.category_names[5] == "Glass"


# -- probabilities -----------------------------------------------------------------------------


def test_label_photos__probabilities_are_written_and_named(tmp_path):
    write_photos(tmp_path / "photos", "a.png", "b.png")
    teacher = make_teacher(make_probs((0.2, 0.8, 0.0), (0.4, 0.2, 0.4)))
    unlabelled = find_unlabelled(tmp_path / "photos", None, TABLE)
    place = SoftPlace(tmp_path / "p_soft", "p_soft")
    labelled = label_photos(teacher, unlabelled, SEVEN, place)
    document = describe(labelled, teacher, SEVEN)
    assert document["info"]["pseudo_labels"]["kind"] == "soft"
    read = read_coco(write_document(tmp_path / "p.json", document), image_root=tmp_path / "photos")
    assert sorted(read.soft) == [0, 1]
    for photo in read.photos:
        planes = read_planes(read, photo)
        assert planes[:, 0, :3].T.tolist() == [[51, 204, 0], [102, 51, 102], [255, 0, 0]]
        assert draw_soft_mask(read, photo, 0.1)[0, :3].tolist() == [0, 0, 0]
        assert draw_soft_mask(read, photo, 0.5)[0, :3].tolist() == [1, 1, 0]
        assert draw_soft_mask(read, photo, 0.9)[0, :3].tolist() == [1, 2, 0]


@pytest.mark.parametrize("soft", [7, [], {"file": "a"}, {"file": 1, "sha256": "0"}])
def test_read_coco__probabilities_that_are_none(tmp_path, soft):
    data = write_data(tmp_path)
    path = change_document(data.train, lambda d: d["images"][0].update(soft=soft))
    with pytest.raises(AnnotationError) as caught:
        read_coco(path)
    assert "'soft' must have the texts 'file' and 'sha256'" in caught.value.problems[0]


def test_store__draws_anew_for_each_sample_and_keeps_ignored_pixels(tmp_path):
    write_photos(tmp_path, "a.png")
    flat = np.broadcast_to(np.array([0.0, 0.5, 0.5], np.float32)[:, None, None], (3, 32, 32)).copy()
    flat[:, 0] = np.array([0.4, 0.3, 0.3], np.float32)[:, None]
    teacher = make_teacher(flat)
    place = SoftPlace(tmp_path / "p_soft", "p_soft")
    thresholds = np.full(3, 0.45, np.float32)
    unlabelled = find_unlabelled(tmp_path, None, TABLE)
    labelled = label_photos(teacher, unlabelled, thresholds, place)
    labelled = replace(labelled, source=tmp_path / "p.json")
    store = PhotoStore([labelled], "largest-first", 2**30)
    assert (store.load(0)[1][1:] == 1).all()
    for share, index in ((0.3, 1), (0.7, 2), (0.3, 1)):
        mask = store.load_for_training(0, share)[1]
        assert (mask[0] == 255).all()
        assert (mask[1:] == index).all()
    stream = TrainingStream(store, load_config("", PLAIN), 40)
    seen = [np.unique(stream[i][1]).tolist() for i in range(40)]
    assert {tuple(values) for values in seen} == {(1, 255), (2, 255)}
    again = TrainingStream(store, load_config("", PLAIN), 40)
    assert [np.unique(again[i][1]).tolist() for i in range(40)] == seen


def test_store__probabilities_that_are_gone_are_known_when_it_is_opened(tmp_path):
    write_photos(tmp_path, "a.png", "b.png")
    place = SoftPlace(tmp_path / "p_soft", "p_soft")
    unlabelled = find_unlabelled(tmp_path, None, TABLE)
    teacher = make_teacher(make_probs((0, 1, 0)))
    labelled = label_photos(teacher, unlabelled, SEVEN, place)
    labelled = replace(labelled, source=tmp_path / "p.json")
    (tmp_path / "p_soft" / "000001.png").unlink()
    with pytest.raises(ImageError, match="1 photo") as caught:
        PhotoStore([labelled], "largest-first", 2**30)
    assert "000001.png does not exist" in caught.value.problems[0]
