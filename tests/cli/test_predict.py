"""``bunri predict`` and what it shares with other commands: outputs, ensembles, bad photos."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bunri.images.photos import read_index_mask
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.model.bundle import read_bundle, write_prediction
from bunri.predict.predictor import load_predictor
from bunri.predict.settings import PredictionSettings, TileSettings
from tests.cli.runner import run


@pytest.fixture
def photo(data):
    return data.folder / next(iter(data.shapes["val"]))


def read_report(folder):
    return json.loads((folder / "predictions.json").read_text("utf-8"))


@pytest.mark.parametrize("shape", ["polygons", "rle"])
def test_predict__every_output_tells_of_the_same_mask(model, data, tmp_path, shape):
    out, coco = tmp_path / "out", data.folder / "said.json"
    photos = data.folder / "batch_01"
    ended = run(
        *("predict", model, photos, "--out", out, "--coco", coco, "--coco-shape", shape),
        *("--colors", "--probs"),
    )
    assert ended.code == 0, ended.err
    rows = read_report(out)["photos"]
    said = read_coco(coco, image_root=photos)
    assert said.is_pseudo
    assert [said.image_root / p.file_name for p in said.photos] == [Path(r["photo"]) for r in rows]
    with (out / "composition.csv").open(encoding="utf-8", newline="") as file:
        shares = list(csv.DictReader(file))
    for row, listed, described in zip(rows, shares, said.photos, strict=True):
        mask = read_index_mask(out / row["mask"])
        np.testing.assert_array_equal(draw_mask(said, described, "largest-first"), mask)
        palette = said.table.palette_rgb
        np.testing.assert_array_equal(np.asarray(Image.open(out / row["colors"])), palette[mask])
        planes = read_index_mask(out / row["probs"]).reshape(12, *mask.shape)
        said_again = planes.argmax(0)
        assert (said_again == mask).mean() > 0.97  # ties of rounded probabilities
        assert abs(planes.astype(int).sum(0) - 255).max() <= 6
        assert listed["photo"] == row["photo"]
        for index, name in enumerate(said.table.names):
            assert float(listed[name]) == pytest.approx((mask == index).mean(), abs=1e-6)
    assert run("evaluate", model, coco, "--images", photos).code == 2  # no truth


def test_predict__two_models_are_one(model, photo, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    run("predict", model, photo, "--out", alone)
    ended = run(
        *("predict", model, model, photo, "--weights", "2,1", "--combine", "hard"),
        *("--tta", "none", "--out", both),
    )
    assert ended.code == 0, ended.err
    assert read_report(both)["models"] == [str(model), str(model)]
    one, two = (read_index_mask(f / "masks" / f"{photo.stem}.png") for f in (alone, both))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--weights", "0"), "sum to 0"),
        (("--weights", "1,2"), "are 2, for 1 model"),
        (("--weights", "a"), "takes numbers"),
        (("--combine", "sum"), "'sum' is not one of"),
        (("--tta", "flip"), "is no view"),
        (("--tiles", "big"), "neither own"),
        (("--set", "flip=1"), "unknown setting"),
        (("--set", "priority=[Glas]"), "Did you mean 'Glass'"),
        (("--coco-shape", "dots"), "'dots' is not one of"),
    ],
)
def test_predict__options_that_make_no_sense(model, photo, tmp_path, options, part):
    ended = run("predict", model, photo, "--out", tmp_path / "out", *options)
    assert ended.code == 2
    assert part in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out").exists()


def test_predict__models_without_a_photo(model):
    ended = run("predict", model, model)
    assert ended.code == 2
    assert "There is no photo to predict" in ended.err


def test_predict__settings_of_the_bundle_are_the_default(model, photo, tmp_path):
    copied = tmp_path / "bundle"
    shutil.copytree(model / "bundle", copied)
    before = (copied / "bunri.json").read_bytes()
    write_prediction(copied, {"settings": {"flips": ["horizontal"]}, "evidence": {}})
    assert read_bundle(copied).photo_hashes == read_bundle(model / "bundle").photo_hashes
    run("predict", copied, photo, "--out", tmp_path / "a")
    assert read_report(tmp_path / "a")["settings"] == {"flips": ["horizontal"]}
    run("predict", copied, photo, "--plain", "--out", tmp_path / "b")
    assert "settings" not in read_report(tmp_path / "b")
    write_prediction(copied, {})
    assert (copied / "bunri.json").read_bytes() == before


def test_predict__settings_in_a_bundle_that_are_none(model, photo, tmp_path):
    copied = tmp_path / "bundle"
    shutil.copytree(model / "bundle", copied)
    write_prediction(copied, {"settings": {"flips": ["sideways"]}})
    ended = run("predict", copied, photo, "--out", tmp_path / "out")
    assert ended.code == 2
    assert "prediction" in ended.err
    assert "sideways" in ended.err


def write_odd_photos(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    deep = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    picture.save(folder / "moving.webp", save_all=True, append_images=[picture.rotate(90)])
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.new("RGB", (20_000, 20)).save(folder / "wide.png")
    return {"cmyk": (20, 30), "deep": (20, 30), "moving": (20, 30), "one": (1, 1),
            "wide": (20, 20_000)}  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--tiles", "2", "--tta", "hflip,turns")])
def test_predict__odd_photos_are_done_and_broken_ones_named(model, tmp_path, options):
    sizes = write_odd_photos(tmp_path / "photos")
    (tmp_path / "photos" / "empty.jpg").write_bytes(b"")
    (tmp_path / "photos" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    out = tmp_path / "out"
    ended = run("predict", model, tmp_path / "photos", "--out", out, *options)
    assert ended.code == 2
    rows = {Path(row["photo"]).stem: row for row in read_report(out)["photos"]}
    assert list(rows) == sorted([*sizes, "empty", "torn"])
    for name, size_hw in sizes.items():
        assert read_index_mask(out / rows[name]["mask"]).shape == size_hw
    for name in ("empty", "torn"):
        assert f"{name}.jpg" in rows[name]["error"]
        assert not (out / "masks" / f"{name}.png").exists()
        assert f"{name}.jpg" in ended.err
    lines = (out / "composition.csv").read_text().splitlines()
    assert len(lines) == 1 + len(rows)
    assert "is empty (0 bytes)" in next(line for line in lines if "empty.jpg" in line)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_predict__folder_that_may_not_be_written(model, photo, tmp_path):
    (tmp_path / "shut").mkdir(mode=0o500)
    ended = run("predict", model, photo, "--out", tmp_path / "shut")
    assert ended.code == 2
    assert "no permission" in ended.err


def test_tune__keeps_its_evidence_in_the_bundle_and_makes_an_ensemble(model, data, tmp_path):
    for name in "ab":
        shutil.copytree(model / "bundle", tmp_path / name)
    dry = run("tune", tmp_path / "a", data.val, "--dry-run")
    assert dry.code == 0, dry.err
    assert read_bundle(tmp_path / "a").prediction == {}
    ended = run("tune", tmp_path / "a", data.val, "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    kept = read_bundle(tmp_path / "a").prediction
    assert kept["settings"] == said["settings"]
    assert kept["evidence"]["trials"] == said["trials"]
    # Four photos are too few for any interval, so nothing may win.
    assert not said["helps"]
    assert said["settings"] == {}
    both = tmp_path / "both.json"
    ended = run("tune", tmp_path / "a", tmp_path / "b", data.val, "--out", both)
    assert ended.code == 0, ended.err
    assert "Nothing helps beyond chance" in ended.out
    scored = run("evaluate", both, data.val, "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["num_photos"] == 4
    submitted = run("submit", both, data.test, "--out", tmp_path / "s.csv")
    assert submitted.code == 0, submitted.err
    again = run("tune", tmp_path / "a", tmp_path / "b", data.val, "--out", both)
    assert again.code == 2
    assert "exists already" in again.err


def test_tune__refuses_before_it_looks(model, data, tmp_path):
    for arguments, part in (
        (("tune", model, data.val, "--by", "miou"), "there is no score 'miou'"),
        (("tune", model, data.val, "--out", tmp_path / "a.json"), "is for several models"),
        (("tune", model, model, data.val), "need --out FILE.json"),
        (("tune", model, model, data.val, "--out", tmp_path / "x" / "a.json"), "below its own"),
        (("tune", model, data.train), "was trained on"),
    ):
        ended = run(*arguments)
        assert ended.code == 2
        assert part in " ".join(ended.err.split())
        assert "Looking at photos" not in ended.err


def test_predict__photos_share_the_cores_and_give_them_back(model):
    predictor = load_predictor(str(model))
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        with predictor.share_cores() as num_at_once:
            assert (num_at_once, torch.get_num_threads()) == (4, 1)
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
    in_tiles = load_predictor(str(model), lambda _: PredictionSettings(tiles=TileSettings()))
    with in_tiles.share_cores() as num_at_once:
        assert num_at_once == 1
