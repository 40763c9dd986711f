"""``bunri pseudo-label`` and what its labels may be used for, from the command line."""

import json
import shutil

import numpy as np
import pytest

from bunri.images.photos import read_photo
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.predict.predictor import load_predictor
from bunri.predict.settings import PredictionSettings
from tests.builders import TINY_SETTINGS, change_document
from tests.cli.runner import run
from tests.doctor.clean_set import draw_scene


def label(model, data, *more, out="pseudo.json"):
    output = data.folder / out
    return output, run("pseudo-label", model, data.test, "--out", output, *more)


def test_pseudo_label__is_the_models_mask_where_it_is_sure(model, data):
    output, ended = label(model, data, "--threshold", 0.3, "--class-threshold", "background=0.5")
    assert ended.code == 0, ended.err
    assert f"Labels of 3 photos: {output}" in ended.out
    dataset, predictor = read_coco(output), load_predictor(str(model))
    thresholds = np.full(12, 0.3, np.float32)
    thresholds[0] = 0.5
    for photo in dataset.photos:
        probs = predictor.predict_probs(read_photo(dataset.path_of(photo)))
        best = probs.argmax(0)
        expected = np.where(probs.max(0) >= thresholds[best], best, 255)
        np.testing.assert_array_equal(draw_mask(dataset, photo, "largest-first"), expected)


def test_pseudo_label__the_same_twice(model, data):
    texts = [label(model, data, out=name)[0].read_bytes() for name in ("a.json", "b.json")]
    assert texts[0] == texts[1]


def test_pseudo_label__as_json(model, data):
    output, ended = label(model, data, "--json", "--threshold", 1)
    report = json.loads(ended.out)
    assert report["out"] == str(output)
    assert report["num_photos"] == 3
    assert report["unsure"] + sum(report["classes"].values()) == pytest.approx(1)
    assert report["next"].startswith("bunri train --data TRAIN.json --data")


def test_pseudo_label__a_folder_of_photos_elsewhere(model, data, tmp_path):
    output = tmp_path / "labels" / "out.json"
    ended = run("pseudo-label", model, data.folder / "batch_01", "--out", output)
    assert ended.code == 0, ended.err
    assert f"--images {data.folder / 'batch_01'}" in ended.out
    dataset = read_coco(output, image_root=data.folder / "batch_01")
    assert len(dataset.photos) == 13
    assert not dataset.find_missing_photos()


def test_pseudo_label__two_teachers(model, data):
    output, ended = label(model, data, out="one.json")
    both = data.folder / "both.json"
    ended = run("pseudo-label", model, model, data.test, "--out", both)
    assert ended.code == 0, ended.err
    one, two = (json.loads(path.read_text("utf-8")) for path in (output, both))
    assert one["annotations"] == two["annotations"]  # a model agrees with itself
    assert len(two["info"]["pseudo_labels"]["teachers"]) == 2


def test_pseudo_label__a_teacher_that_looks_twice(model, data):
    output, ended = label(model, data, "--threshold", 0, "--tta", "hflip,turns")
    assert ended.code == 0, ended.err
    dataset = read_coco(output)
    info = json.loads(output.read_text())["info"]["pseudo_labels"]
    assert info["teachers"][0]["settings"] == {"flips": ["horizontal"], "turns": True}
    predictor = load_predictor(
        str(model), lambda _: PredictionSettings(flips=("horizontal",), turns=True)
    )
    plain = load_predictor(str(model))
    differs = False
    for photo in dataset.photos:
        image = read_photo(dataset.path_of(photo))
        mask = draw_mask(dataset, photo, "largest-first")
        np.testing.assert_array_equal(mask, predictor.predict_mask(image))
        differs |= bool((mask != plain.predict_mask(image)).any())
    assert differs


def test_pseudo_label__a_way_to_look_that_is_none(model, data):
    output, ended = label(model, data, "--tta", "sideways")
    assert ended.code == 2
    assert "sideways" in ended.err
    assert not output.exists()


def test_pseudo_label__labels_of_the_photos_are_not_looked_at(model, data):
    change_document(data.test, lambda d: d.update(annotations=[{"id": 1, "image_id": 999}]))
    output, ended = label(model, data)
    assert ended.code == 0, ended.err
    assert len(json.loads(output.read_text("utf-8"))["images"]) == 3


def test_pseudo_label__soft_and_a_student(model, data, tmp_path):
    for seed, path in enumerate(sorted((data.folder / "batch_01").glob("*.png"))):
        draw_scene(seed, 48, 64).save(path)
    output, ended = label(model, data, "--soft", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["unsure"] == 0
    folder = data.folder / "pseudo_soft"
    assert sorted(p.name for p in folder.iterdir()) == [f"00000{i}.png" for i in range(3)]
    settings = [part for s in (*TINY_SETTINGS, "train.epochs=1") for part in ("--set", s)]
    arguments = ["--data", data.train, "--data", output, "--val", data.val, *settings]
    ended = run("train", *arguments, "--out", tmp_path / "student")
    assert ended.code == 0, ended.err
    output.unlink()
    output, ended = label(model, data, "--soft")  # nor is the folder written over
    assert ended.code == 2
    assert f"{folder} exists already" in ended.err
    assert not output.exists()


# -- refused -----------------------------------------------------------------------------------


def test_pseudo_label__a_file_that_is_there(model, data):
    output, ended = label(model, data)
    kept = output.read_bytes()
    ended = run("pseudo-label", model, data.test, "--out", output, "--threshold", 0)
    assert ended.code == 2
    assert f"{output} exists already" in ended.err
    assert output.read_bytes() == kept


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--class-threshold", "Gless=0.5"], "There is no class 'Gless'. Did you mean 'Glass'?"),
        (["--class-threshold", "Glass=2"], "'Glass=2': a probability is from 0 to 1"),
        (["--threshold", "1.5"], "less than or equal to 1"),
    ],
)
def test_pseudo_label__thresholds(model, data, more, message):
    output, ended = label(model, data, *more)
    assert ended.code == 2
    assert message in ended.err
    assert not output.exists()


def test_pseudo_label__teachers_of_other_classes(model, data, tmp_path):
    def rename(content):
        content["classes"][5]["name"] = "캔\x1b[31m"

    shutil.copytree(model / "bundle", tmp_path / "other")
    change_document(tmp_path / "other" / "bunri.json", rename)
    output = tmp_path / "p.json"
    ended = run("pseudo-label", model, tmp_path / "other", data.test, "--out", output)
    assert ended.code == 2
    assert "must have one class table; these differ" in ended.err
    assert f"class 5 is 'Metal' in {model}, '캔" in ended.err
    assert "\x1b" not in ended.err
    assert not output.exists()


def test_pseudo_label__a_photo_that_is_none(model, data):
    (data.folder / "batch_01" / "test_0001.png").write_bytes(b"no photo")
    before = sorted(data.folder.iterdir())
    _, ended = label(model, data, "--soft")
    assert ended.code == 2
    assert "test_0001.png" in ended.err
    assert sorted(data.folder.iterdir()) == before


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_pseudo_labels__are_no_truth(command, model, data, tmp_path):
    output, ended = label(model, data, "--threshold", 0)
    first = model
    if command == "score":
        first = tmp_path / "s.csv"
        assert run("submit", model, data.test, "--out", first).code == 0
    ended = run(command, first, output)
    assert ended.code == 2
    assert f"{output} holds pseudo-labels" in ended.err
    ended = run(command, first, output, "--allow-pseudo", data.train)
    assert ended.code == 2
    assert "none of the files to score on" in ended.err
    ended = run(command, first, output, "--allow-pseudo", output, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["miou"]["global"] == 1.0  # a model agrees with itself


# -- photos that were learned from -------------------------------------------------------------


def test_evaluate__photos_that_the_model_learned_from(model, data):
    ended = run("evaluate", model, data.train)
    assert ended.code == 2
    assert f"6 of 6 photos in {data.train} are among those that {model}" in ended.err
    assert "'batch_01/train_0000.png'" in ended.err
    ended = run("evaluate", model, data.train, "--allow-trained", data.train)
    assert ended.code == 0
    assert "not a score on unseen photos" in ended.err


def test_evaluate__one_of_them_among_others(model, data):
    def add_first_training_photo(document):
        row = {**document["images"][0], "id": 99, "file_name": "batch_01/train_0000.png"}
        document["images"].append(row)

    change_document(data.val, add_first_training_photo)
    ended = run("evaluate", model, data.val)
    assert ended.code == 2
    assert "1 of 5 photos" in ended.err


def test_evaluate__a_bundle_from_before_they_were_kept(model, data, tmp_path):
    shutil.copytree(model / "bundle", tmp_path / "old")

    def forget(content):
        del content["training_photos"]

    change_document(tmp_path / "old" / "bunri.json", forget)
    ended = run("evaluate", tmp_path / "old", data.train)
    assert ended.code == 0, ended.err
    assert "does not record its training photos" in ended.err
    ended = run("pseudo-label", tmp_path / "old", data.test, "--out", tmp_path / "p.json")
    assert ended.code == 0, ended.err
    assert "does not record its training photos" in ended.err


@pytest.mark.parametrize("value", [7, "xyz"])
def test_evaluate__a_bundle_whose_list_is_damaged(model, data, tmp_path, value):
    shutil.copytree(model / "bundle", tmp_path / "bad")
    change_document(tmp_path / "bad" / "bunri.json", lambda c: c.update(training_photos=value))
    ended = run("evaluate", tmp_path / "bad", data.val)
    assert ended.code == 2
    assert "training_photos" in ended.err


def test_evaluate__a_student_on_what_its_teacher_learned(model, data, tmp_path):
    """The student sees pseudo-labels of test photos alone; the teacher learned train.json."""
    for seed, path in enumerate(sorted((data.folder / "batch_01").glob("t*t_*.png"))):
        draw_scene(seed, 48, 64).save(path)
    output, ended = label(model, data, "--threshold", 0)
    assert ended.code == 0, ended.err
    settings = [part for s in (*TINY_SETTINGS, "train.epochs=1") for part in ("--set", s)]
    student = tmp_path / "student"
    ended = run("train", "--data", output, "--val", data.val, "--out", student, *settings)
    assert ended.code == 0, ended.err
    ended = run("evaluate", student, data.train)
    assert ended.code == 2
    assert "6 of 6 photos" in ended.err
    assert "or a teacher of it" in ended.err
