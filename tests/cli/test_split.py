"""``bunri split`` from the command line: what it writes, what it refuses, what it says."""

import io
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bunri.core.files import lock_folder
from bunri.labels.coco import read_coco, require_labels, require_photos
from bunri.labels.overlap import draw_mask
from bunri.scenes import render_scene
from tests.builders import change_document, write_document
from tests.cli.runner import run, start

SIZE_PX = 64
NAMES = ("Paper", "Metal", "Glass", "Battery")
NUM_PHOTOS = 16


@dataclass(frozen=True)
class StreetData:
    """Sixteen photos of eight scenes, two of each named alike, and a test set beside them."""

    folder: Path

    @property
    def train(self):
        return self.folder / "all.json"

    @property
    def test(self):
        return self.folder / "test.json"


@pytest.fixture(scope="module")
def pictures():
    return [render_scene(seed, SIZE_PX).image for seed in range(NUM_PHOTOS + 3)]


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


def make_rows(names, first_id):
    return [
        {"id": first_id - 3 * number, "file_name": name, "height": SIZE_PX, "width": SIZE_PX}
        for number, name in enumerate(names)
    ]


@pytest.fixture
def data(tmp_path, pictures):
    """Write photos and labels: ids go down, every photo has Paper, one in four Battery."""
    folder = tmp_path / "data"
    names = [f"batch_{n % 2}/scene_{n // 2}_{'lr'[n % 2]}.png" for n in range(NUM_PHOTOS)]
    tests = [f"test/{n}.png" for n in range(3)]
    for name, picture in zip([*names, *tests], pictures, strict=True):
        save(folder / name, picture)
    images = make_rows(names, 900)
    annotations: list[dict[str, Any]] = []
    for number, row in enumerate(images):
        shown = [0] + [1] * (number % 2) + [2] * (number % 5 == 0) + [3] * (number % 4 == 0)
        for place, category in enumerate(shown):
            x, y = 10 * place + 1, number + 1
            shape = [x, y, x + 8, y, x + 8, y + 6, x, y + 6]
            row_id = 1000 - 7 * len(annotations)
            annotations.append(
                {"id": row_id, "image_id": row["id"], "category_id": 10 * category + 5,
                 "segmentation": [shape], "note": f"annotation {row_id}"}
            )  # fmt: skip
    document = {
        "info": {"year": 2021},
        "images": images,
        "annotations": annotations[::-1],
        "categories": [{"id": 10 * i + 5, "name": name} for i, name in enumerate(NAMES)],
        "extra": {"kept": True},
    }
    write_document(folder / "all.json", document)
    write_document(folder / "test.json", {"images": make_rows(tests, 90), "categories": []})
    return StreetData(folder)


def plant_copy(data, image):
    """Put an edited copy of a picture into the test set: half of it in size, mirrored, paler."""
    picture = Image.fromarray(image[:, ::-1]).crop((0, 0, SIZE_PX - 6, SIZE_PX)).resize((96, 96))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=60)
    (data.folder / "test" / "copy.jpg").write_bytes(content.getvalue())
    row = {"id": 77, "file_name": "test/copy.jpg", "height": 96, "width": 96}
    change_document(data.test, lambda document: document["images"].append(row))


def list_files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def read_sets(folder, root):
    """Return file -> labelled set, as training would read them."""
    return {
        path.relative_to(folder).as_posix(): require_photos(
            require_labels(read_coco(path, image_root=root))
        )
        for path in sorted(folder.rglob("*.json"))
        if path.name != "report.json"
    }


def draw_all(dataset):
    return {p.file_name: draw_mask(dataset, p, "largest-first") for p in dataset.photos}


# -- what is written ---------------------------------------------------------------------------


def test_split__folds_partition_the_photos_and_keep_masks(data, tmp_path):
    out = tmp_path / "out"
    ended = run("split", data.train, "--folds", 3, "--out", out)
    assert ended.code == 0, ended.err
    folds = [f"fold_{number}/{part}.json" for number in range(3) for part in ("train", "val")]
    assert list_files(out) == [*folds, "report.json"]
    sets = read_sets(out, data.folder)
    whole = read_coco(data.train)
    masks, names = draw_all(whole), [p.file_name for p in whole.photos]
    vals = [p.file_name for fold in range(3) for p in sets[f"fold_{fold}/val.json"].photos]
    assert sorted(vals) == sorted(names)
    for fold in range(3):
        train, val = (sets[f"fold_{fold}/{part}.json"] for part in ("train", "val"))
        together = [p.file_name for p in (*train.photos, *val.photos)]
        assert sorted(together) == sorted(names)
        for part in (train, val):
            # In the order of the whole file.
            kept = [p.file_name for p in part.photos]
            assert kept == [name for name in names if name in kept]
            for name, mask in draw_all(part).items():
                np.testing.assert_array_equal(mask, masks[name])


def test_split__numbers_anew_and_keeps_everything_else(data, tmp_path):
    out = tmp_path / "out"
    assert run("split", data.train, "--val", 0.25, "--out", out).code == 0
    assert list_files(out) == ["report.json", "train.json", "val.json"]
    before = json.loads(data.train.read_text())
    names = {row["id"]: row["file_name"] for row in before["images"]}
    seen = set()
    for part in ("train", "val"):
        document = json.loads((out / f"{part}.json").read_text())
        for key in ("info", "categories", "extra"):
            assert document[key] == before[key]
        assert [row["id"] for row in document["images"]] == list(range(len(document["images"])))
        assert [r["id"] for r in document["annotations"]] == list(
            range(len(document["annotations"]))
        )
        for row in document["annotations"]:
            origin = next(r for r in before["annotations"] if r["note"] == row["note"])
            assert row["segmentation"] == origin["segmentation"]
            assert row["category_id"] == origin["category_id"]
            assert document["images"][row["image_id"]]["file_name"] == names[origin["image_id"]]
            seen.add(row["note"])
    assert len(seen) == len(before["annotations"])


def test_split__report_and_table_say_the_same(data, tmp_path):
    ended = run("split", data.train, "--folds", 4, "--out", tmp_path / "a", "--json")
    printed = json.loads(ended.out)
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert printed == {**report, "out": str(tmp_path / "a"), "next": printed["next"]}
    assert report["num_photos"] == NUM_PHOTOS
    assert [part["num_photos"] for part in report["parts"]] == [4] * 4
    rows = {row["name"]: row for row in report["classes"]}
    assert {name: row["photos"] for name, row in rows.items()} == {
        "Paper": 16, "Metal": 8, "Glass": 4, "Battery": 4,
    }  # fmt: skip
    assert rows["Paper"]["pixels"] == 16 * 48
    for row in report["classes"]:
        assert sum(part["photos"] for part in row["parts"]) == row["photos"]
        assert sum(part["pixels"] for part in row["parts"]) == row["pixels"]
        assert row["must_be_in_every_part"]
        assert row["absent_from"] == []
    balance = report["balance"]
    random = balance["random_splits"]
    assert balance["figure"] < random["best_figure"] < random["mean_figure"]
    assert random["count"] == 20
    assert report["leaks"] == []
    told = run("split", data.train, "--folds", 4, "--out", tmp_path / "b")
    assert f"Balance figure {balance['figure']:.4f}" in told.out
    assert "Leaks: none" in told.out
    assert f"best {random['best_figure']:.4f}" in told.out
    row = next(line for line in told.out.splitlines() if line.startswith("Glass"))
    assert row.split()[:2] == ["Glass", "4"]


def test_split__the_same_seed_gives_the_same_files(data, tmp_path):
    contents = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        folder = tmp_path / name
        assert run("split", data.train, "--folds", 4, "--seed", seed, "--out", folder).code == 0
        contents.append({file: (folder / file).read_bytes() for file in list_files(folder)})
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_split__the_printed_command_reads_the_photos(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run("split", "data/all.json", "--val", 0.25)
    command = shlex.split(ended.out.splitlines()[-1].removeprefix("Next: "))
    assert command == [
        "bunri", "train", "--data", "data/all_split/train.json", "--val", "data/all_split/val.json",
        "--images", "data", "--val-images", "data", "--out", "runs/all_split",
    ]  # fmt: skip
    require_photos(read_coco(Path(command[3]), image_root=Path(command[7])))
    shown = run(*command[1:], "--show-config")
    assert shown.code == 0


def test_split__photos_elsewhere(data, tmp_path):
    moved = tmp_path / "labels" / "all.json"
    moved.parent.mkdir()
    data.train.rename(moved)
    ended = run("split", moved, "--val", 0.25, "--images", data.folder, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert f"--images {data.folder} --val-images {data.folder}" in ended.out


# -- groups ------------------------------------------------------------------------------------


def list_parts(out):
    """Return file name -> the folds in which it is validation."""
    parts: dict[str, list[str]] = {}
    for path in sorted(out.glob("fold_*/val.json")):
        for row in json.loads(path.read_text())["images"]:
            parts.setdefault(row["file_name"], []).append(path.parent.name)
    return parts


def test_split__names_with_the_same_capture_stay_together(data, tmp_path):
    out = tmp_path / "out"
    ended = run("split", data.train, "--folds", 4, "--group-regex", r"scene_(\d+)", "--out", out)
    assert ended.code == 0, ended.err
    assert "8 groups that stay together, 8 of them with more than one photo" in ended.out
    assert "is found in 16 file names" in ended.out
    parts = list_parts(out)
    for scene in range(8):
        assert parts[f"batch_0/scene_{scene}_l.png"] == parts[f"batch_1/scene_{scene}_r.png"]


def test_split__copies_stay_together_without_being_told(data, tmp_path, pictures):
    # Photo 3 becomes a mirrored, brighter copy of photo 0, photo 6 has the pixels of photo 1.
    brighter = np.minimum(pictures[0][::-1].astype(int) * 6 // 5, 255).astype(np.uint8)
    save(data.folder / "batch_1/scene_1_r.png", brighter)
    save(data.folder / "batch_0/scene_3_l.png", pictures[1])
    out = tmp_path / "out"
    for seed in range(4):
        ended = run("split", data.train, "--folds", 4, "--seed", seed, "--out", out / str(seed))
        assert ended.code == 0, ended.err
        assert "2 pair(s) of copies: 14 groups" in ended.out
        parts = list_parts(out / str(seed))
        assert parts["batch_0/scene_0_l.png"] == parts["batch_1/scene_1_r.png"]
        assert parts["batch_1/scene_0_r.png"] == parts["batch_0/scene_3_l.png"]
        report = json.loads((out / str(seed) / "report.json").read_text())
        assert report["groups"] == [
            ["batch_0/scene_0_l.png", "batch_1/scene_1_r.png"],
            ["batch_1/scene_0_r.png", "batch_0/scene_3_l.png"],
        ]
        assert report["leaks"] == []


def test_split__without_a_look_at_the_photos(data, tmp_path):
    for photo in data.folder.rglob("*.png"):
        photo.unlink()
    out = tmp_path / "out"
    ended = run("split", data.train, "--val", 0.25, "--out", out, "--no-photos")
    assert ended.code == 0, ended.err
    assert "copies not looked for" in ended.out
    assert json.loads((out / "report.json").read_text())["near_duplicates"] == "not looked for"
    assert "Reading photos" not in ended.err


# -- leaks -------------------------------------------------------------------------------------


def test_split__apart_from_a_clean_test_set(data, tmp_path):
    ended = run("split", data.train, "--folds", 4, "--against", data.test, "--out", tmp_path / "o")
    assert ended.code == 0, ended.err
    assert "Leaks: none" in ended.out


def test_split__a_copy_in_the_test_set_is_refused_unless_allowed_by_name(data, tmp_path, pictures):
    plant_copy(data, pictures[5])
    out = tmp_path / "out"
    arguments = ("split", data.train, "--folds", 4, "--against", data.test, "--out", out)
    ended = run(*arguments)
    assert ended.code == 1
    assert "Leak, near-duplicate: 'batch_1/scene_2_r.png'" in ended.out
    assert "'test/copy.jpg'" in ended.out
    assert "Nothing was written: 1 leak(s)" in ended.err
    assert "--allow-leaks near-duplicate" in ended.err
    assert not out.exists()
    assert run(*arguments, "--allow-leaks", "same-pixels").code == 1
    assert not out.exists()
    allowed = run(*arguments, "--allow-leaks", "near-duplicate")
    assert allowed.code == 0, allowed.err
    report = json.loads((out / "report.json").read_text())
    assert [leak["kind"] for leak in report["leaks"]] == ["near-duplicate"]
    assert report["leaks"][0]["second_split"] == str(data.test)
    assert report["allowed_leaks"] == ["near-duplicate"]


def test_split__looks_for_leaks_in_what_it_made_itself(data, tmp_path, pictures, monkeypatch):
    save(data.folder / "batch_1/scene_1_r.png", pictures[0][::-1])
    monkeypatch.setattr(
        "bunri.split.split.join_photos", lambda count, *_: [(place,) for place in range(count)]
    )
    monkeypatch.setattr("bunri.split.split.split_groups", lambda *_: np.arange(NUM_PHOTOS) % 2)
    ended = run("split", data.train, "--folds", 2, "--out", tmp_path / "out")
    assert ended.code == 1
    leak = "near-duplicate: 'batch_0/scene_0_l.png' (fold_0) and 'batch_1/scene_1_r.png' (fold_1)"
    assert leak in ended.out
    assert not (tmp_path / "out").exists()


def test_split__a_refusal_for_machines(data, tmp_path, pictures):
    plant_copy(data, pictures[5])
    out = tmp_path / "out"
    ended = run("split", data.train, "--val", 0.25, "--against", data.test, "--out", out, "--json")
    assert ended.code == 1
    printed = json.loads(ended.out)
    assert printed["out"] is None
    assert [leak["first_name"] for leak in printed["leaks"]] == ["batch_1/scene_2_r.png"]


def test_split__the_same_photos_on_both_sides(data, tmp_path):
    out = tmp_path / "out"
    ended = run("split", data.train, "--val", 0.25, "--against", data.train, "--out", out)
    assert ended.code == 1
    assert ended.out.count("Leak, same-name") == 16
    assert not out.exists()


@pytest.mark.parametrize("looks", [True, False])
def test_split__one_name_in_two_folders(data, tmp_path, looks, pictures):
    other = tmp_path / "other"
    rows = make_rows(["batch_0/scene_0_l.png"], 5)
    save(other / "batch_0/scene_0_l.png", pictures[-1])
    write_document(other / "test.json", {"images": rows})
    arguments = ["split", data.train, "--val", 0.25, "--against", other / "test.json"]
    ended = run(*arguments, "--out", tmp_path / "out", *([] if looks else ["--no-photos"]))
    assert ended.code == (0 if looks else 1), ended.err
    assert ("Leak, same-name" in ended.out) != looks


def test_split__a_scene_that_the_test_set_shows_too(data, tmp_path):
    (data.folder / "test" / "0.png").rename(data.folder / "test" / "scene_3_x.png")
    change_document(data.test, lambda d: d["images"][0].update(file_name="test/scene_3_x.png"))
    ended = run(
        "split", data.train, "--val", 0.25, "--group-regex", r"scene_(\d+)",
        "--against", data.test, "--out", tmp_path / "out",
    )  # fmt: skip
    assert ended.code == 1
    assert "Leak, same-group: 'batch_0/scene_3_l.png'" in ended.out
    assert "--allow-leaks same-group" in ended.err


def test_split__photos_of_the_other_file_elsewhere(data, tmp_path):
    moved = tmp_path / "labels" / "test.json"
    moved.parent.mkdir()
    data.test.rename(moved)
    arguments = ["split", data.train, "--val", 0.25, "--against", moved]
    assert_refused(run(*arguments, "--out", tmp_path / "a"), "3 photo(s) are missing", "--against-")
    ended = run(*arguments, "--against-images", data.folder, "--out", tmp_path / "a")
    assert ended.code == 0, ended.err


# -- what cannot be done -----------------------------------------------------------------------


def assert_refused(ended, *parts):
    assert ended.code == 2, (ended.out, ended.err)
    text = " ".join(ended.err.replace("│", " ").split())
    for part in parts:
        assert str(part) in text
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Give either --folds or --val"),
        (["--folds", 3, "--val", 0.2], "Give either --folds or --val"),
        (["--folds", 1], "greater than or equal to 2"),
        (["--folds", 17], "17 parts cannot be made of 16 photo(s)."),
        (["--folds", 9, "--group-regex", r"scene_\d+"], "that stay together in 8 group(s)"),
        (["--val", 0], "must be above 0 and below 1"),
        (["--val", 1.5], "must be above 0 and below 1"),
        (["--val", "nan"], "must be above 0 and below 1"),
        (["--val", 0.01], "less than half a photo"),
        (["--val", 0.2, "--group-regex", "("], "'(' is not a regular expression"),
        (["--val", 0.2, "--group-regex", "room"], "is found in none of 16 file names"),
        (["--val", 0.2, "--allow-leaks", "all"], "There is no kind of leak 'all'"),
        (["--val", 0.2, "--overlap-rule", "none"], "'none' is not one of"),
        (["--val", 0.2, "--seed", -1], "greater than or equal to 0"),
        (["--val", 0.2, "--against", "nothing.json"], "nothing.json does not exist"),
        (["--val", 0.2, "--against-images", "x"], "was given 1 time(s) for 0 annotation file(s)"),
        (["--val", 0.2, "--images", "nowhere"], "The image folder nowhere does not exist"),
    ],
)
def test_split__impossible_requests(data, tmp_path, options, message):
    assert_refused(run("split", data.train, *options, "--out", tmp_path / "out"), message)
    assert not (tmp_path / "out").exists()


def test_split__all_photos_are_copies_of_one(data, tmp_path, pictures):
    for photo in data.folder.glob("batch_*/*.png"):
        save(photo, pictures[0])
    ended = run("split", data.train, "--val", 0.25, "--out", tmp_path / "out")
    assert_refused(ended, "2 parts cannot be made of 16 photo(s) that stay together in 1 group(s)")


def test_split__photos_that_are_missing_or_damaged_are_all_named(data, tmp_path):
    out = tmp_path / "out"
    (data.folder / "batch_0/scene_0_l.png").write_bytes(b"nothing")
    (data.folder / "batch_1/scene_2_r.png").write_bytes(b"")
    ended = run("split", data.train, "--val", 0.25, "--out", out)
    assert_refused(ended, "2 photo(s) cannot be used", "scene_0_l.png", "scene_2_r.png is empty")
    for name in ("batch_0/scene_0_l.png", "batch_1/scene_2_r.png"):
        (data.folder / name).unlink()
    ended = run("split", data.train, "--val", 0.25, "--out", out)
    assert_refused(ended, "2 photo(s) are missing", "scene_0_l.png", "scene_2_r.png", "--no-photos")
    assert not out.exists()


def test_split__sets_that_cannot_be_split(data, tmp_path):
    ended = run("split", data.test, "--val", 0.25, "--out", tmp_path / "out")
    assert_refused(ended, "it is a set without labels")
    change_document(data.train, lambda document: document.update(images=[], annotations=[]))
    assert_refused(run("split", data.train, "--val", 0.25), "has no photos")
    data.train.write_text("[")
    assert_refused(run("split", data.train, "--val", 0.25), "is not JSON")


def test_split__a_folder_that_is_not_empty(data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert_refused(run("split", data.train, "--val", 0.25, "--out", out), f"{out} is not empty")
    assert list_files(out) == ["notes.txt"]
    assert_refused(run("split", data.train, "--val", 0.25, "--out", data.train), "is a file")


def test_split__into_an_empty_folder(data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert run("split", data.train, "--val", 0.25, "--out", out).code == 0
    assert list_files(out) == ["report.json", "train.json", "val.json"]
    assert_refused(run("split", data.train, "--val", 0.25, "--out", out), "is not empty")


def test_split__through_a_link_and_into_the_folder_one_is_in(data, tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    assert run("split", data.train, "--val", 0.25, "--out", tmp_path / "link").code == 0
    assert "train.json" in list_files(target)
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("split", data.train, "--val", 0.25, "--out", ".").code == 0
    assert "train.json" in list_files(tmp_path / "here")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert_refused(run("split", data.train, "--val", 0.25, "--out", tmp_path / "loop"), "loop")


def test_split__a_folder_that_another_process_holds(data, tmp_path):
    out = tmp_path / "out"
    with lock_folder(out):
        ended = run("split", data.train, "--val", 0.25, "--out", out)
    assert_refused(ended, "is in use by another bunri process")
    assert set(list_files(out)) <= {".lock"}


def test_split__two_at_once_leave_one_whole_split(data, tmp_path):
    out = tmp_path / "out"
    both = [
        start("split", data.train, "--folds", 4, "--seed", seed, "--out", out) for seed in (0, 1)
    ]
    codes = []
    for process in both:
        _, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        codes.append(process.returncode)
    assert 0 in codes
    assert set(codes) <= {0, 2}
    winner = json.loads((out / "report.json").read_text())["seed"]
    expected = tmp_path / "expected"
    run("split", data.train, "--folds", 4, "--seed", winner, "--out", expected)
    for name in list_files(expected):
        assert (out / name).read_bytes() == (expected / name).read_bytes()


def test_split__a_disk_that_is_full_leaves_nothing(data, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def fail(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("bunri.split.split.write_json", fail)
    ended = run("split", data.train, "--val", 0.25, "--out", out)
    assert_refused(ended, "the disk is full")
    assert set(list_files(out)) <= {".lock"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "out"]


def test_split__names_from_data_do_not_steer_the_terminal(data, tmp_path, pictures):
    hostile = "[red]\x1b[31m\nPaper"
    change_document(data.train, lambda document: document["categories"][0].update(name=hostile))
    plant_copy(data, pictures[5])
    name = "test/\x1b[2J.jpg"
    (data.folder / "test/copy.jpg").rename(data.folder / name)
    change_document(data.test, lambda document: document["images"][-1].update(file_name=name))
    ended = run("split", data.train, "--val", 0.25, "--against", data.test, "--out", tmp_path / "o")
    assert ended.code == 1
    assert "\x1b" not in ended.out + ended.err
    assert "[red]" in ended.out


# -- real photos -------------------------------------------------------------------------------


@pytest.mark.photos
def test_split__real_photos_in_five_folds(photos, tmp_path):
    root = photos / "recycle_trash"
    out = tmp_path / "out"
    ended = run("split", root / "train_all.json", "--folds", 5, "--out", out,
                "--against", root / "test.json")  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads((out / "report.json").read_text())
    assert report["leaks"] == []
    assert (report["num_photos"], report["num_groups"]) == (165, 165)
    for row in report["classes"]:
        assert row["photos"] < 5 or row["absent_from"] == []
    balance = report["balance"]
    assert balance["figure"] < balance["random_splits"]["best_figure"]
    whole = draw_all(read_coco(root / "train_all.json"))
    for dataset in read_sets(out / "fold_2", root).values():
        for name, mask in draw_all(dataset).items():
            np.testing.assert_array_equal(mask, whole[name])
