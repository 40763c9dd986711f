"""The whole job from the command line: train, evaluate, predict, submit, check, score."""

import json
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.submission.stream import read_submission
from tests.builders import write_data, write_document
from tests.cli.runner import list_train_arguments, run, start

NAMES = COMPETITION_TABLE.names
COLORS = [value for info in COMPETITION_TABLE.classes for value in info.color_rgb]


def load_truth(data, part):
    return {name: data.truth(part, name) for name in data.shapes[part]}


def reckon_iou(pairs, index):
    """Return the IoU of a class over (truth, prediction) pairs; None if it is nowhere."""
    hits = sum(int(((t == index) & (p == index)).sum()) for t, p in pairs)
    union = sum(int(((t == index) | (p == index)).sum()) for t, p in pairs)
    return hits / union if union else None


def reckon_miou(pairs):
    ious = [iou for index in range(12) if (iou := reckon_iou(pairs, index)) is not None]
    return sum(ious) / len(ious)


def assert_scores(report, pairs, batch_size):
    """Compare a report with figures reckoned from masks alone."""
    batches = [pairs[i : i + batch_size] for i in range(0, len(pairs), batch_size)]
    right = sum(int((t == p).sum()) for t, p in pairs)
    assert report["num_photos"] == len(pairs)
    assert report["pixel_accuracy"] == pytest.approx(right / sum(t.size for t, _ in pairs))
    assert report["miou"] == {
        "global": pytest.approx(reckon_miou(pairs)),
        "per_image": pytest.approx(sum(reckon_miou([p]) for p in pairs) / len(pairs)),
        "per_batch": pytest.approx(sum(map(reckon_miou, batches)) / len(batches)),
        "batch_size": batch_size,
    }
    for index, row in enumerate(report["classes"]):
        iou = reckon_iou(pairs, index)
        assert row["name"] == NAMES[index]
        assert row["iou"] == (None if iou is None else pytest.approx(iou))
        assert row["photos"] == sum(bool((t == index).any()) for t, _ in pairs)
        assert row["pixels"] == sum(int((t == index).sum()) for t, _ in pairs)


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """Data of the trained model, predictions of its val photos, and its submission."""
    folder = tmp_path_factory.mktemp("written")
    data = write_data(folder / "data", size_hw=(48, 64))
    photos = data.folder / "batch_01"
    val = sorted(photos.glob("val_*.png"))
    predicted = run("predict", trained / "first", *val, "--out", folder / "out")
    assert predicted.code == 0, predicted.err
    submitted = run("submit", trained / "first", data.val, "--out", folder / "s.csv")
    assert submitted.code == 0, submitted.err
    return folder, data, predicted, submitted


def read_masks(folder, data, part="val"):
    """Return (truth, predicted mask as ``predict`` wrote it) in the order of the JSON."""
    pairs = []
    for name in data.shapes[part]:
        with Image.open(folder / "out" / "masks" / name.removeprefix("batch_01/")) as picture:
            assert picture.mode == "P"
            assert (picture.getpalette() or [])[:36] == COLORS
            pairs.append((data.truth(part, name), np.asarray(picture)))
    return pairs


def test_train__says_what_came_of_it(trained):
    records = [
        json.loads(line) for line in (trained / "first" / "metrics.jsonl").read_text().splitlines()
    ]
    best = max(records, key=lambda r: r["miou"]["global"])
    text = (trained / "train_out.txt").read_text()
    assert f"Best epoch {best['epoch']} of 2: global mIoU {best['miou']['global']:.4f}" in text
    assert f"Next: bunri evaluate {trained}/first {trained}/data/val.json" in text
    progress = (trained / "train_err.txt").read_text().splitlines()
    assert progress[0] == "Reading and checking 10 photos"
    assert progress[1].startswith("Warning: No training photo has General trash, Paper pack")
    assert progress[2] == "Training epochs 1 to 2, 4 steps each"
    assert [line.split()[1] for line in progress[3:]] == ["1/2", "2/2"]
    assert "Licences: weights random start; photos not declared" in text


def test_train__show_config_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run(
        "train", "--show-config", "--set", "optim.lr=0.125", "--set", "augment.crop_size_px=null"
    )
    assert ended.code == 0
    assert "  lr: 0.125\n" in ended.out
    assert "  crop_size_px: null\n" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_evaluate__equals_what_the_masks_of_predict_say(trained, written):
    folder, data, *_ = written
    arguments = ("evaluate", trained / "first", data.val, "--json", "--batch-size", 3)
    ended = run(*arguments)
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert report["model"] == str(trained / "first")
    assert_scores(report, read_masks(folder, data), 3)


def test_evaluate__equals_the_last_validation_of_training(trained, written):
    _, data, *_ = written
    report = json.loads(run("evaluate", trained / "first", data.val, "--json").out)
    info = json.loads((trained / "first" / "bundle" / "bunri.json").read_text())
    assert report["miou"]["global"] == pytest.approx(info["scores"]["miou"]["global"], abs=0.01)


def test_evaluate__bundle_folder_is_a_model_too(trained, written):
    _, data, *_ = written
    reports = [
        json.loads(run("evaluate", model, data.val, "--json").out)["classes"]
        for model in (trained / "first", trained / "first" / "bundle")
    ]
    assert reports[0] == reports[1]


def test_evaluate__table_for_people(trained, written):
    _, data, *_ = written
    ended = run("evaluate", trained / "first", data.val)
    report = json.loads(run("evaluate", trained / "first", data.val, "--json").out)
    assert ended.code == 0
    assert f"global mIoU {report['miou']['global']:.4f}" in " ".join(ended.out.split())
    assert "Paper pack (종이팩)" in ended.out
    (battery,) = [line for line in ended.out.splitlines() if line.startswith("Battery")]
    iou = report["classes"][10]["iou"]
    assert ("no data" in battery) == (iou is None)


def test_evaluate__photos_elsewhere(trained, written, tmp_path):
    _, data, *_ = written
    moved = tmp_path / "labels.json"
    moved.write_bytes(data.val.read_bytes())
    assert run("evaluate", trained / "first", moved).code == 2
    ended = run("evaluate", trained / "first", moved, "--images", data.folder, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["num_photos"] == 4


def test_predict__writes_masks_overlays_and_areas(written):
    folder, data, predicted, _ = written
    report = json.loads((folder / "out" / "predictions.json").read_text("utf-8"))
    assert [c["name"] for c in report["classes"]] == list(NAMES)
    pairs = read_masks(folder, data)
    assert len(report["photos"]) == 4
    for row, (_, mask), name in zip(report["photos"], pairs, data.shapes["val"], strict=True):
        assert row["photo"] == str(data.folder / name)
        assert (row["height_px"], row["width_px"]) == mask.shape == (48, 64)
        assert sum(c["pixels"] for c in row["classes"]) == 48 * 64
        assert sum(c["share"] for c in row["classes"]) == pytest.approx(1, abs=1e-5)
        for area in row["classes"]:
            info = COMPETITION_TABLE.classes[area["index"]]
            assert (area["name"], area["name_ko"]) == (info.name, info.name_ko)
            assert area["pixels"] == int((mask == area["index"]).sum()) > 0
        pixels = [c["pixels"] for c in row["classes"]]
        assert pixels == sorted(pixels, reverse=True)
        stem = name.removeprefix("batch_01/").removesuffix(".png")
        assert (row["mask"], row["overlay"]) == (f"masks/{stem}.png", f"overlays/{stem}.jpg")
        with Image.open(folder / "out" / row["overlay"]) as overlay:
            assert overlay.format == "JPEG"
            assert overlay.width == 240  # a wider ground, so that the legend can be read
            assert overlay.height > 48
        assert str(data.folder / name) in predicted.out
    # The Korean stands there to be read, not as escapes.
    assert '"배경"' in (folder / "out" / "predictions.json").read_text("utf-8")


def test_predict__folder_keeps_its_layout(trained, written, tmp_path):
    _, data, *_ = written
    ended = run("predict", trained / "first", data.folder, "--out", tmp_path / "out", "--json")
    assert ended.code == 0
    report = json.loads(ended.out)
    assert report == json.loads((tmp_path / "out" / "predictions.json").read_text("utf-8"))
    assert [r["mask"] for r in report["photos"]][:1] == ["masks/batch_01/test_0000.png"]
    assert len(report["photos"]) == len(list((tmp_path / "out").rglob("*.png"))) == 13


def test_submit__equals_the_masks_of_predict(written):
    folder, data, _, submitted = written
    assert f"{folder}/s.csv: 4 rows" in submitted.out
    rows = list(read_submission(folder / "s.csv"))
    assert [name for name, _ in rows] == list(data.shapes["val"])
    steps = np.arange(256)
    for (_, found), (_, mask) in zip(rows, read_masks(folder, data), strict=True):
        assert np.array_equal(found, mask[steps[:, None] * 48 // 256, steps * 64 // 256])


def test_submit__photos_without_labels(trained, written, tmp_path):
    _, data, *_ = written
    path = tmp_path / "new" / "s.csv.gz"
    assert run("submit", trained / "first", data.test, "--out", path).code == 0
    assert [name for name, _ in read_submission(path)] == list(data.shapes["test"])
    assert run("check-submission", path, data.test).code == 0


def test_check_submission__of_our_own_is_valid(written):
    folder, data, *_ = written
    ended = run("check-submission", folder / "s.csv", data.val)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (f"{folder}/s.csv is valid: 4 rows, the photos of {data.val} in order.\n")
    as_json = run("check-submission", folder / "s.csv", "--json")
    expected = {"ok": True, "rows": 4, "num_faults": 0, "faults": []}
    assert json.loads(as_json.out) == expected


def test_score__equals_scores_reckoned_from_256_masks(written):
    folder, data, *_ = written
    ended = run("score", folder / "s.csv", data.val, "--json", "--batch-size", 3)
    assert ended.code == 0, ended.err
    steps = np.arange(256)
    pairs = []
    for name, prediction in read_submission(folder / "s.csv"):
        truth = data.truth("val", name)
        pairs.append((truth[steps[:, None] * 48 // 256, steps * 64 // 256], prediction))
    assert_scores(json.loads(ended.out), pairs, 3)


def test_score__overlap_rule_changes_the_truth(written, tmp_path):
    """One shape over all others: on top by class, below by size."""
    folder, data, *_ = written
    document = json.loads(data.val.read_text())
    first = document["images"][0]["id"]
    document["annotations"].append(
        {
            "id": 999,
            "image_id": first,
            "category_id": 100 - 11,  # the highest class
            "segmentation": [[0, 0, 64, 0, 64, 48, 0, 48]],
        }
    )
    path = write_document(data.folder / "covered.json", document)
    shares = {}
    for rule in ("largest-first", "highest-class"):
        ended = run("score", folder / "s.csv", path, "--json", "--overlap-rule", rule)
        shares[rule] = json.loads(ended.out)["classes"][11]["pixels"] / 256**2
    small = (data.truth("val", document["images"][0]["file_name"]) > 0).mean()
    assert shares["highest-class"] == 1.0
    assert shares["largest-first"] == pytest.approx(1 - small, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_train__interrupted_and_resumed(tmp_path, workers):
    data = write_data(tmp_path / "data")
    settings = ("train.epochs=6", f"train.num_workers={workers}")
    process = start(*list_train_arguments(data, tmp_path / "run", *settings))
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("epoch   2/6") for line in lines)
    threading.Event().wait(0.1)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Stopped. Continue with: bunri train --resume --out {tmp_path}/run" in rest
    assert "Traceback" not in rest
    resumed = start("train", "--resume", "--out", tmp_path / "run")
    output, progress = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, progress
    assert "of 6: global mIoU" in output
    whole = start(*list_train_arguments(data, tmp_path / "whole", *settings))
    whole.communicate(timeout=120)
    for name in ("metrics.jsonl", "bundle/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_train__interrupted_before_there_is_a_run(tmp_path):
    data = write_data(tmp_path / "data")
    process = start(*list_train_arguments(data, tmp_path / "run"))
    assert process.stderr.readline().startswith("Reading and checking")
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert ("--resume" in rest) == (tmp_path / "run" / "config.yaml").exists()


def test_train__resume_of_a_finished_run_says_so(trained):
    ended = run("train", "--resume", "--out", trained / "first")
    assert ended.code == 0
    assert "All 2 epochs are done already" in ended.err
