"""Rendered scenes: determined by their arguments, true to the pixel, in the right layout."""

import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from bunri.core.errors import ConfigError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.scenes import Scene, SceneObject, render_scene, write_sample_dataset
from bunri.scenes.catalogue import PHOTO_SHARES, VARIANTS
from bunri.scenes.dataset import plan_scenes
from bunri.scenes.grounds import GROUNDS

SIZE_PX = 96
NUM_SCENES = 30
FOREGROUND = range(1, len(COMPETITION_TABLE))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    calls: list[object] = []

    @contextmanager
    def progress(label, total):
        calls.append((label, total))
        yield lambda: calls.append("advance")

    folder = tmp_path_factory.mktemp("sample")
    written = write_sample_dataset(
        folder, num_scenes=NUM_SCENES, size_px=SIZE_PX, progress=progress
    )
    assert calls == [("Rendering scenes", NUM_SCENES), *NUM_SCENES * ["advance"]]
    return written


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def load_coco(path: Path, capsys: pytest.CaptureFixture[str]) -> COCO:
    coco = COCO(str(path))
    capsys.readouterr()  # pycocotools prints its progress
    return coco


def test_same_seed_gives_same_bytes():
    first, second = render_scene(5, SIZE_PX), render_scene(5, SIZE_PX)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.mask.tobytes() == second.mask.tobytes()


def test_different_seeds_differ():
    images = {render_scene(seed, SIZE_PX).image.tobytes() for seed in range(4)}
    assert len(images) == 4


def test_layout_does_not_depend_on_size():
    small, large = render_scene(9, 96), render_scene(9, 192)
    assert [o.class_index for o in small.objects] == [o.class_index for o in large.objects]
    assert np.mean(small.mask == large.mask[::2, ::2]) > 0.95


@pytest.mark.parametrize("seed", range(2))
def test_scene_has_the_promised_arrays(seed):
    scene = render_scene(seed, SIZE_PX)
    assert scene.image.shape == (SIZE_PX, SIZE_PX, 3)
    assert scene.image.dtype == np.uint8
    assert scene.mask.shape == (SIZE_PX, SIZE_PX)
    assert scene.mask.dtype == np.uint8
    assert set(np.unique(scene.mask)) <= {0, *FOREGROUND}
    assert all(thing.mask.dtype == np.bool_ for thing in scene.objects)
    assert scene.image.std() > 5


def test_later_objects_cover_earlier_ones():
    lower, upper = np.zeros((2, 4, 4), np.bool_)
    lower[:3, :3] = True
    upper[2:, 2:] = True
    scene = Scene(np.zeros((4, 4, 3), np.uint8), (SceneObject(3, lower), SceneObject(9, upper)))
    assert scene.mask.tolist() == [[3, 3, 3, 0], [3, 3, 3, 0], [3, 3, 9, 9], [0, 0, 9, 9]]


def test_rendered_objects_overlap_and_mask_follows_paint_order():
    scene = render_scene(3, SIZE_PX, classes=[2, 3, 9])
    count = np.sum([thing.mask for thing in scene.objects], axis=0)
    assert count.max() >= 2
    top = scene.objects[-1]
    assert (scene.mask[top.mask] == top.class_index).all()
    assert ((scene.mask > 0) == (count > 0)).all()


@pytest.mark.parametrize("classes", [[1], [3, 9], [2, 10, 10], list(FOREGROUND)])
def test_requested_classes_appear_and_no_others(classes):
    mask = render_scene(1, SIZE_PX, classes).mask
    assert set(np.unique(mask)) - {0} == set(classes)


@pytest.mark.parametrize(
    ("index", "variant"),
    [(index, variant) for index, variants in VARIANTS.items() for variant in variants],
    ids=lambda value: value.draw.__name__ if hasattr(value, "draw") else str(value),
)
def test_every_variant_can_be_drawn(index, variant, monkeypatch):
    monkeypatch.setitem(VARIANTS, index, (variant,))
    scene = render_scene(1, SIZE_PX, [index])
    assert (scene.mask == index).sum() > 0
    for thing in scene.objects:
        assert 0 < thing.mask.sum() < 0.5 * SIZE_PX**2


def test_every_class_has_two_variants():
    assert set(VARIANTS) == set(PHOTO_SHARES) == set(FOREGROUND)
    assert all(len(variants) >= 2 for variants in VARIANTS.values())


@pytest.mark.parametrize("draw", GROUNDS)
def test_every_ground_is_textured(draw):
    ground = draw(np.random.default_rng(0), SIZE_PX)
    assert ground.shape == (SIZE_PX, SIZE_PX, 3)
    assert ground.dtype == np.float32
    assert ground.std() > 0.01


def test_free_scenes_show_about_as_much_as_real_photos():
    scenes = [render_scene(seed, 64) for seed in range(30)]
    background = np.mean([(scene.mask == 0).mean() for scene in scenes])
    classes = np.mean([len(np.unique(scene.mask[scene.mask > 0])) for scene in scenes])
    assert 0.6 < background < 0.8
    assert 1.8 < classes < 3.0
    assert all(3 <= len(scene.objects) <= 8 for scene in scenes)


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": -1},
        {"seed": 0, "size_px": 63},
        {"seed": 0, "size_px": 4096},
        {"seed": 0, "classes": []},
        {"seed": 0, "classes": [0]},
        {"seed": 0, "classes": [3, 12]},
    ],
)
def test_render_scene_refuses(arguments):
    with pytest.raises(ConfigError, match="must"):
        render_scene(**arguments)


@pytest.mark.parametrize("arguments", [{"num_scenes": 9}, {"num_scenes": 10_000}, {"seed": -1}])
def test_write_sample_dataset_refuses_before_writing(arguments, tmp_path):
    with pytest.raises(ConfigError, match="must be"):
        write_sample_dataset(tmp_path / "data", **arguments)
    assert not (tmp_path / "data").exists()


def test_files_exist(dataset):
    photos = sorted(p.relative_to(dataset.root).as_posix() for p in dataset.root.rglob("*.jpg"))
    assert len(photos) == NUM_SCENES
    assert {name.split("/")[0] for name in photos} == {"batch_01_vt", "batch_02_vt", "batch_03"}
    assert photos[0] == "batch_01_vt/0001.jpg"
    with Image.open(dataset.root / photos[0]) as photo:
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (SIZE_PX, SIZE_PX))
    named = {
        name
        for split in ("train_all", "test")
        for name in (image["file_name"] for image in read(dataset.root / f"{split}.json")["images"])
    }
    assert named == set(photos)
    assert not list(dataset.root.rglob(".*"))


@pytest.mark.parametrize("name", ["train_json", "val_json", "train_all_json", "test_labelled_json"])
def test_coco_has_the_competitions_form(dataset, name):
    coco = read(getattr(dataset, name))
    assert [image["id"] for image in coco["images"]] == list(range(len(coco["images"])))
    assert {"file_name", "width", "height", "license", "date_captured"} <= set(coco["images"][0])
    assert [(c["id"], c["name"]) for c in coco["categories"]] == list(
        enumerate(COMPETITION_TABLE.names[1:])
    )
    assert all(category["supercategory"] for category in coco["categories"])
    assert [row["id"] for row in coco["annotations"]] == list(range(len(coco["annotations"])))
    for row in coco["annotations"]:
        assert 0 <= row["image_id"] < len(coco["images"])
        assert isinstance(row["segmentation"]["counts"], str)
        assert row["area"] > 0
        assert len(row["bbox"]) == 4
        assert row["iscrowd"] == 0


@pytest.mark.parametrize("name", ["train_json", "val_json", "test_labelled_json"])
def test_every_class_is_in_every_split(dataset, name):
    rows = read(getattr(dataset, name))["annotations"]
    assert {row["category_id"] for row in rows} == set(range(11))


# pycocotools' decoder does not yet speak numpy 2's copy keyword.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["val_json", "test_labelled_json"])
def test_decoded_annotations_are_the_rendered_truth(dataset, name, capsys):
    coco = load_coco(getattr(dataset, name), capsys)
    plans = {plan.file_name: plan for plan in plan_scenes(NUM_SCENES, seed=21)}
    for image in coco.dataset["images"]:
        plan = plans[image["file_name"]]
        mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
        for row in coco.imgToAnns[image["id"]]:
            part = coco.annToMask(row).astype(bool)
            assert not mask[part].any(), "two annotations overlap"
            mask[part] = row["category_id"] + 1
        truth = render_scene(plan.seed, SIZE_PX, plan.classes)
        assert (mask == truth.mask).all()
        with Image.open(dataset.root / image["file_name"]) as photo:
            difference = np.asarray(photo, np.float32) - truth.image
        assert (
            np.abs(difference).mean() < 20
        )  # JPEG of a grainy ground; another photo differs by 50


def test_test_json_has_no_annotations(dataset):
    test, labelled = read(dataset.test_json), read(dataset.test_labelled_json)
    assert "annotations" not in test
    assert test["images"] == labelled["images"]
    assert test["categories"] == labelled["categories"]


def test_train_all_is_train_and_val(dataset):
    names = {
        key: {image["file_name"] for image in read(getattr(dataset, key))["images"]}
        for key in ("train_json", "val_json", "train_all_json", "test_json")
    }
    assert names["train_json"] | names["val_json"] == names["train_all_json"]
    assert not names["train_json"] & names["val_json"]
    assert not names["train_all_json"] & names["test_json"]
    assert [len(names[key]) for key in ("train_json", "val_json", "test_json")] == [19, 5, 6]


def test_sample_submission_has_only_the_header(dataset):
    assert dataset.sample_submission_csv.read_text() == "image_id,PredictionString\n"


def test_planned_classes_are_as_common_as_in_real_photos():
    plans = plan_scenes(120, seed=21)
    assert Counter(plan.split for plan in plans) == {"train": 77, "val": 19, "test": 24}
    assert plans == plan_scenes(120, seed=21)
    assert plans != plan_scenes(120, seed=22)
    for index, share in PHOTO_SHARES.items():
        found = np.mean([index in plan.classes for plan in plans])
        assert share - 0.02 <= found <= share + 0.04
    assert 2.0 < np.mean([len(plan.classes) for plan in plans]) < 2.7
    assert all(plan.classes for plan in plans)


def test_smallest_dataset_has_every_class_in_every_split():
    plans = plan_scenes(10, seed=0)
    for split in ("train", "val", "test"):
        seen = set().union(*(plan.classes for plan in plans if plan.split == split))
        assert seen == set(FOREGROUND)
