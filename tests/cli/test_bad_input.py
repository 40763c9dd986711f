"""Whatever a user gives that cannot be used: exit code, message, and nothing half written.

A traceback fails each of these tests, since ``run`` raises what ``main`` does not catch.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bunri.submission.stream import read_submission, write_submission
from tests.builders import change_document, draw_photo
from tests.cli.runner import COMMANDS, list_train_arguments, run


def assert_refused(ended, *parts):
    """Check the exit code and that the message on stderr names all of ``parts``."""
    assert ended.code == 2, (ended.out, ended.err)
    for part in parts:
        assert str(part) in join_lines(ended.err)
    assert "Traceback" not in ended.err


def join_lines(text):
    """Undo the box that usage errors are wrapped in."""
    return " ".join(text.replace("│", " ").split())


def list_files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def train(data, *settings):
    """Train into ``run`` beside the data, and make sure nothing is there if it failed."""
    path = data.folder.parent / "run"
    ended = run(*list_train_arguments(data, path, *settings))
    if ended.code:
        assert not path.exists()
    return ended


def evaluate(data, model):
    return run("evaluate", model, data.val)


def submit(data, model):
    """Write a submission, and make sure that nothing is left of it if that failed."""
    path = data.folder.parent / "out" / "s.csv"
    ended = run("submit", model, data.val, "--out", path)
    if ended.code and path.parent.exists():
        assert list_files(path.parent) == []
    return ended


def run_with_data(command, data, model):
    return (
        train(data)
        if command == "train"
        else {"evaluate": evaluate, "submit": submit}[command](data, model)
    )


WITH_DATA = pytest.mark.parametrize("command", ["train", "evaluate", "submit"])


# -- annotation files ----------------------------------------------------------------------


@WITH_DATA
def test_annotations__missing_file(command, data, model):
    data.val.unlink()
    ended = run_with_data(command, data, model)
    assert_refused(ended, data.val, "does not exist", "Give the path of a COCO JSON")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON: Expecting value in line 1, column 1"),
        (b"\x89PNG\r\n", "is not UTF-8 text (byte 0)"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[1, 2]", "is not a COCO file: it must be an object with a list 'images'"),
        (b'{"images": {}}', "with a list 'images'"),
        (b'{"images": []}', "has no photos: its list 'images' is empty"),
    ],
)
def test_annotations__not_coco(data, model, content, reason):
    data.val.write_bytes(content)
    assert_refused(evaluate(data, model), data.val, reason)


def test_annotations__all_faults_are_told_at_once(data, model):
    def change(document):
        document["annotations"][0]["image_id"] = 4711
        document["annotations"][2]["segmentation"] = "everything"
        document["images"][3]["height"] = -5

    change_document(data.val, change)
    ended = evaluate(data, model)
    parts = ("there is no image with id 4711", "'segmentation' must be a list", "not -5 and 64")
    assert_refused(ended, "annotations[0] (id 1)", *parts)


def test_annotations__category_that_the_model_does_not_know(data, model):
    change_document(data.val, lambda d: d["categories"][2].update(name="Papper"))
    assert_refused(evaluate(data, model), "'Papper'", "Did you mean 'Paper'")


@pytest.mark.parametrize("command", ["train", "evaluate", "score"])
def test_annotations__set_without_labels(command, data, model, tmp_path):
    if command == "score":
        path = tmp_path / "s.csv"
        assert run("submit", model, data.test, "--out", path).code == 0
        ended = run("score", path, data.test)
    else:
        change_document(data.val, lambda d: d.pop("annotations"))
        ended = run_with_data(command, data, model)
    assert_refused(ended, "has no 'annotations': it is a set without labels")


def test_annotations__image_folder_that_is_missing(data, model, tmp_path):
    ended = run("evaluate", model, data.val, "--images", tmp_path / "absent")
    assert_refused(ended, f"The image folder {tmp_path}/absent does not exist", "--images")


def test_train__images_for_some_files_only(data, tmp_path):
    arguments = list_train_arguments(data, tmp_path / "run")
    extra = ("--data", data.val, "--images", data.folder)
    ended = run(*arguments, *extra)
    assert_refused(ended, "--images was given 1 time(s) for 2 annotation file(s)")
    assert not (tmp_path / "run").exists()


# -- photos --------------------------------------------------------------------------------


def first_photo(data):
    return data.folder / next(iter(data.shapes["val"]))


@WITH_DATA
def test_photos__missing(command, data, model):
    first_photo(data).unlink()
    ended = run_with_data(command, data, model)
    name = "'batch_01/val_0000.png' does not exist"
    assert_refused(ended, "1 of 4 photos of", name, "choose another folder with --images")


@WITH_DATA
def test_photos__unreadable(command, data, model):
    photo = first_photo(data)
    content = photo.read_bytes()
    photo.write_bytes(content[: len(content) // 2])
    assert_refused(run_with_data(command, data, model), photo, "is damaged or truncated")


def test_photos__of_another_size_than_the_json_says(data, model):
    draw_photo([], (40, 72)).save(first_photo(data))
    ended = evaluate(data, model)
    assert_refused(ended, "'batch_01/val_0000.png' is 72x40, val.json says 64x48 (width x height)")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside.png", "contains '..'; paths must stay under"),
        ("/etc/passwd", "is absolute; paths must be relative to"),
        ("link/outside.png", "leads out of"),
        ("", "'file_name' must be text"),
    ],
)
def test_photos__name_that_leaves_the_root(data, model, tmp_path, name, reason):
    outside = tmp_path / "elsewhere" / "outside.png"
    outside.parent.mkdir()
    shutil.copy(first_photo(data), outside)
    shutil.copy(first_photo(data), tmp_path / "outside.png")
    (data.folder / "link").symlink_to(outside.parent)
    change_document(data.val, lambda d: d["images"][0].update(file_name=name))
    assert_refused(evaluate(data, model), reason, repr(name), "images[0] (id 11)")


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "\ud800.png"], ids=["long", "surrogate"])
def test_photos__name_that_no_file_can_have(data, model, name):
    change_document(data.val, lambda d: d["images"][0].update(file_name=name))
    assert_refused(evaluate(data, model), name[:100] if name.isascii() else "images[0] (id 11)")


# -- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("optim.lrr=1", ("optim.lrr: unknown setting.", "Did you mean 'lr'?")),
        ("train.epochs=0", ("train.epochs: 0 is not allowed", "greater than or equal to 1")),
        ("model.decoder_channels=96", ("96 is not allowed", "multiple of 64")),
        ("model.name=segnett", ("model.name: 'segnett' is not allowed.", "Did you mean 'segnet'")),
        ("augment.crop_area=[0.9, 0.1]", ("crop_area: the first value 0.9 is above the second",)),
        ("optim.lr", ("must look like key.path=value",)),
        ("optim.lr=[", ("is not valid YAML",)),
    ],
)
def test_settings__refused(setting, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run("train", "--show-config", "--set", setting)
    assert_refused(ended, "fpn-lite0", *parts)
    assert ended.out == ""


def test_settings__all_faults_at_once():
    ended = run("train", "--show-config", "--set", "seed=-1", "--set", "train.epoch=3")
    assert_refused(ended, "2 faults in fpn-lite0", "seed: -1", "train.epoch: unknown setting")


def test_settings__are_checked_before_the_data(tmp_path):
    arguments = ("--data", tmp_path / "a", "--val", tmp_path / "b", "--out", tmp_path / "run")
    assert_refused(run("train", *arguments, "--set", "seed=x"), "seed: 'x' is not allowed")
    assert list_files(tmp_path) == []


def test_settings__weights_file_that_is_missing(data):
    ended = train(data, "model.weights=absent.pth")
    assert_refused(
        ended, "'absent.pth' is neither 'imagenet', 'none', a file, nor a model", "weights=none"
    )


@pytest.mark.parametrize("encoder", ["resnet19", "vit_tiny_patch16_224"])
def test_settings__encoder_that_cannot_be(data, encoder):
    assert_refused(train(data, f"model.encoder={encoder}"), encoder, "resnet")


def test_recipe__unknown_names_the_nearest(data):
    ended = run("train", "--recipe", "fcn8-baseline", "--data", data.train, "--val", data.val)
    assert_refused(
        ended,
        "'fcn8-baseline' is neither a recipe nor a file.",
        "Did you mean 'fcn8s-baseline'",
        "fpn-lite0",
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"train: [", "is not valid YAML"),
        (b"seed: 1\nseed: 2\n", "'seed' is given twice"),
        (b"\xff\xfe", "cannot be read as UTF-8 text"),
        (b"seed: !!python/object/apply:os.mkdir [sprung]\n", "is not valid YAML"),
    ],
)
def test_recipe__file_that_cannot_be_used(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_bytes(content)
    assert_refused(run("train", "--recipe", "mine.yaml", "--show-config"), "mine.yaml", reason)
    assert list_files(tmp_path) == ["mine.yaml"]


# -- models --------------------------------------------------------------------------------

WITH_MODEL = pytest.mark.parametrize("command", ["evaluate", "submit", "predict"])


def use_model(command, model, data, tmp_path):
    """Run a command with a MODEL, and make sure that nothing was written."""
    target = tmp_path / "result"
    given = first_photo(data) if command == "predict" else data.val
    extra = () if command == "evaluate" else ("--out", target)
    ended = run(command, model, given, *extra)
    assert not target.exists()
    return ended


def test_model__is_a_file(data, tmp_path):
    ended = use_model("predict", data.val, data, tmp_path)
    assert_refused(ended, f"{data.val} is a file, but not an .onnx file", "A MODEL is a run folder")


@pytest.mark.parametrize("command", ["evaluate", "submit"])  # predict takes it for photos
def test_model__is_a_plain_folder(command, data, tmp_path):
    ended = use_model(command, data.folder, data, tmp_path)
    assert_refused(ended, f"{data.folder} is neither a run folder nor", "A MODEL is a run folder")


def test_model__unknown_name_near_an_existing_run(trained, data, tmp_path):
    ended = use_model("submit", trained / "frist", data, tmp_path)
    assert_refused(ended, f"There is no model '{trained}/frist'. Did you mean 'first'?")


def test_model__run_without_a_complete_epoch(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 1\n")
    ended = evaluate(data, tmp_path / "run")
    assert_refused(ended, "no epoch was completed", f"bunri train --resume --out {tmp_path}/run")


@pytest.fixture
def copied(model, tmp_path):
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(model / "bundle", tmp_path / "bundle"))


@WITH_MODEL
def test_model__tampered_weights(command, copied, data, tmp_path):
    path = copied / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    ended = use_model(command, copied, data, tmp_path)
    assert_refused(ended, path, "is not the file that bunri.json describes", "SHA-256")


def test_model__weights_are_missing(copied, data):
    (copied / "model.safetensors").unlink()
    assert_refused(evaluate(data, copied), "model.safetensors is missing")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"format": 99}, "Upgrade with"),
        ({"classes": []}, "2 to 255 classes"),
        ({"architecture": {"name": "unet", "num_classes": 12}}, "cannot be built"),
        ({"preprocessing": {}}, "incomplete or damaged"),
    ],
)
def test_model__damaged_description(copied, data, change, part):
    change_document(copied / "bunri.json", lambda d: d.update(change))
    assert_refused(evaluate(data, copied), copied, part)


@pytest.mark.parametrize("content", [b"{", b"[]"])
def test_model__description_that_is_no_json_object(copied, data, content):
    (copied / "bunri.json").write_bytes(content)
    assert_refused(evaluate(data, copied), copied / "bunri.json", "A MODEL is a run folder")


# -- predict -------------------------------------------------------------------------------


def test_predict__missing_photo(model, data, tmp_path):
    ended = run("predict", model, first_photo(data), tmp_path / "a.jpg", "--out", tmp_path / "out")
    assert_refused(ended, f"{tmp_path}/a.jpg does not exist")
    assert not (tmp_path / "out").exists()


def test_predict__corrupt_photo_among_others(model, data, tmp_path):
    good, bad = first_photo(data), tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    (tmp_path / "empty.jpg").write_bytes(b"")
    folder = tmp_path / "out"
    ended = run("predict", model, bad, good, tmp_path / "empty.jpg", "--out", folder)
    assert_refused(ended, f"{tmp_path}/empty.jpg is empty (0 bytes)", bad)
    rows = json.loads((folder / "predictions.json").read_text("utf-8"))["photos"]
    assert [row["photo"] for row in rows] == [str(bad), str(good), str(tmp_path / "empty.jpg")]
    assert ["error" in row for row in rows] == [True, False, True]
    assert str(bad) in rows[0]["error"]
    assert [p for p in list_files(folder) if "." in p] == [
        *("composition.csv", "masks/val_0000.png", "overlays/val_0000.jpg", "predictions.json")
    ]
    assert str(good) in ended.out


def test_predict__corrupt_photos_alone_write_nothing(model, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    ended = run("predict", model, tmp_path / "empty.jpg", "--out", tmp_path / "out")
    assert_refused(ended, "is empty (0 bytes)")
    assert not (tmp_path / "out").exists()


def test_predict__folder_without_photos(model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none here")
    ended = run("predict", model, tmp_path / "empty", "--out", tmp_path / "out")
    assert_refused(ended, f"{tmp_path}/empty holds no photo (.jpeg, .jpg, .png, .webp)")
    assert not (tmp_path / "out").exists()


def test_predict__two_photos_of_one_name(model, data, tmp_path):
    photo = first_photo(data)
    shutil.copy(photo, tmp_path / "val_0000.png")
    ended = run("predict", model, photo, tmp_path / "val_0000.png", "--out", tmp_path / "out")
    assert_refused(ended, f"{photo} and {tmp_path}/val_0000.png would both write val_0000.png")
    assert not (tmp_path / "out").exists()


def test_predict__one_name_with_two_suffixes_in_a_folder(model, data, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for suffix in (".png", ".webp"):
        draw_photo([], (8, 8)).save(folder / f"a{suffix}")
    ended = run("predict", model, folder, "--out", tmp_path / "out")
    assert_refused(ended, "a.png and", "a.webp would both write a.png")


def test_predict__name_that_is_not_utf8(model, data, tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copy(first_photo(data), tmp_path / "photos" / os.fsdecode(b"caf\xe9.png"))
    ended = run("predict", model, tmp_path / "photos", "--out", tmp_path / "out")
    assert ended.code == 0
    assert "caf\N{REPLACEMENT CHARACTER}.png" in ended.out
    report = json.loads((tmp_path / "out" / "predictions.json").read_bytes())
    assert report["photos"][0]["photo"].endswith("caf\udce9.png")
    as_json = run("predict", model, tmp_path / "photos", "--out", tmp_path / "out", "--json")
    assert json.loads(as_json.out) == report


# -- terminals -----------------------------------------------------------------------------

ESCAPE = "\x1b[31m\x1b]0;owned\x07"


def test_terminal__escapes_in_a_photos_name_are_not_obeyed(model, data, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(first_photo(data), folder / f"a{ESCAPE}.png")
    (folder / f"b{ESCAPE}.png").write_bytes(b"")
    ended = run("predict", model, folder, "--out", tmp_path / "out")
    assert ended.code == 2
    for text in (ended.out, ended.err):
        assert ".png" in text
        assert "\x1b" not in text
        assert "\x07" not in text


def test_terminal__escapes_in_annotation_files_are_not_obeyed(data, model):
    change_document(data.val, lambda d: d["images"][0].update(file_name=f"{ESCAPE}.png"))
    ended = evaluate(data, model)
    assert_refused(ended, ".png' does not exist")
    assert "\x1b" not in ended.err


def test_terminal__escapes_in_class_names_are_not_obeyed(copied, data):
    change_document(copied / "bunri.json", lambda d: d["classes"][10].update(name_ko=ESCAPE))
    ended = evaluate(data, copied)
    assert ended.code == 0
    assert "Battery" in ended.out
    assert "\x1b" not in ended.out


def test_terminal__escapes_in_a_submission_are_not_obeyed(tmp_path):
    (tmp_path / "s.csv").write_text(f"image_id,PredictionString\n{ESCAPE},1 2 3\n")
    ended = run("check-submission", tmp_path / "s.csv")
    assert ended.code == 1
    assert "\x1b" not in ended.out


def test_terminal__brackets_are_text(model, data, tmp_path):
    path = tmp_path / "[red]s[bold].csv"
    ended = run("submit", model, data.test, "--out", path)
    assert ended.code == 0
    assert f"{path}: 3 rows" in ended.out
    assert f"{path} is valid" in run("check-submission", path).out


# -- places that cannot be written ---------------------------------------------------------


def test_output__under_a_file(model, data, tmp_path):
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" / "deeper"
    for arguments in (
        ("predict", model, first_photo(data), "--out", target),
        ("submit", model, data.test, "--out", target / "s.csv"),
        ("submit", model, data.test, "--out", target),
        list_train_arguments(data, target),
    ):
        assert_refused(
            run(*arguments), f"Cannot write {target}", "a file is where a folder is needed"
        )
    assert (tmp_path / "file").read_text() == "mine"


def test_output__train_into_a_file(data, tmp_path):
    (tmp_path / "file").write_text("mine")
    ended = run(*list_train_arguments(data, tmp_path / "file"))
    assert_refused(ended, f"{tmp_path}/file is a file", "Choose another folder with --out")
    assert (tmp_path / "file").read_text() == "mine"


def test_output__submit_into_a_folder(model, data, tmp_path):
    (tmp_path / "folder").mkdir()
    ended = run("submit", model, data.test, "--out", tmp_path / "folder")
    assert_refused(ended, f"Cannot write {tmp_path}/folder")
    assert list_files(tmp_path / "folder") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output__folder_without_permission(model, data, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    ended = run("submit", model, data.test, "--out", tmp_path / "locked" / "s.csv")
    assert_refused(ended, "no permission; choose another folder")


def test_output__old_submission_is_intact_if_a_photo_is_broken(model, data, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("the old one")
    (data.folder / list(data.shapes["test"])[2]).write_bytes(b"")
    ended = run("submit", model, data.test, "--out", path)
    assert_refused(ended, "test_0002.png is empty")
    assert path.read_text() == "the old one"
    assert list_files(tmp_path)[-1] == "s.csv"


def test_output__train_into_a_used_folder(data, trained):
    before = (trained / "first" / "metrics.jsonl").read_bytes()
    ended = run(*list_train_arguments(data, trained / "first"))
    assert_refused(ended, f"{trained}/first is not empty", "--resume")
    assert (trained / "first" / "metrics.jsonl").read_bytes() == before


# -- options -------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [("--set", "train.epochs=3"), ("--show-config",)])
def test_options__resume_takes_nothing_else(trained, extra):
    ended = run("train", "--resume", "--out", trained / "first", *extra)
    assert_refused(ended, "--resume continues with the data and settings of the run in --out")
    assert ended.out == ""


def test_options__resume_without_a_run(tmp_path):
    ended = run("train", "--resume", "--out", tmp_path / "none")
    assert_refused(ended, f"There is no run to resume in {tmp_path}/none", "bunri train --data")
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("given", [(), ("--data", "a.json"), ("--val", "a.json")])
def test_options__train_without_data(given):
    assert_refused(run("train", *given), "Give at least one --data and one --val, or --folds")


def test_options__unknown():
    assert_refused(run("evaluate", "--colour"), "No such option: --colour")


def test_options__missing_arguments():
    assert_refused(run("evaluate"), "Missing argument")


def test_options__unknown_command():
    assert_refused(run("evalute"), "No such command 'evalute'", "'evaluate'")


def test_options__none_at_all():
    ended = run()
    assert ended.code == 2
    text = ended.out + ended.err
    assert "Usage:" in text
    assert all(command in text for command in COMMANDS)


def test_options__unknown_rule(data):
    ended = run("score", "s.csv", data.val, "--overlap-rule", "largest-frist")
    assert_refused(ended, "'largest-frist' is not one of", "largest-first")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("evaluate", "m", "d.json", "--batch-size", "0"), "--batch-size"),
        (("evaluate", "m", "d.json", "--batch-size", "x"), "--batch-size"),
        (("check-submission", "s.csv", "--num-classes", "256"), "--num-classes"),
    ],
)
def test_options__out_of_range(arguments, option):
    assert_refused(run(*arguments), f"Invalid value for '{option}'")


def test_version():
    from bunri.core.version import __version__

    assert run("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "x" * 300, "d.json"),
        ("evaluate", "MODEL", "x" * 300),
        ("predict", "MODEL", "x" * 300),
        ("train", "--recipe", "x" * 300),
        ("check-submission", "x" * 300),
    ],
    ids=["model", "data", "photo", "recipe", "csv"],
)
def test_options__name_that_no_file_can_have(model, arguments):
    ended = run(*(model if a == "MODEL" else a for a in arguments))
    assert_refused(ended, "x" * 300)


# -- submissions ---------------------------------------------------------------------------


@pytest.fixture
def submission(model, data, tmp_path):
    """A good submission for the val photos."""
    path = tmp_path / "s.csv"
    assert run("submit", model, data.val, "--out", path).code == 0
    return path


def test_check_submission__missing_file(tmp_path):
    ended = run("check-submission", tmp_path / "none.csv")
    assert_refused(ended, f"Cannot open {tmp_path}/none.csv: No such file")


def test_check_submission__faults_end_with_1(submission):
    lines = submission.read_text().splitlines()
    lines[2] = lines[2].replace(" ", " 12 ", 1)
    lines[3] = "batch_01/other.png,0 0 0"
    submission.write_text("\n".join(lines) + "\n")
    ended = run("check-submission", submission)
    assert (ended.code, ended.err) == (1, "")
    assert "row 2, PredictionString, pixel 2: '12' is out of range" in ended.out
    assert "row 3, PredictionString: there are 3 pixels; the rule is 65,536" in ended.out
    as_json = run("check-submission", submission, "--json")
    assert as_json.code == 1
    report = json.loads(as_json.out)
    assert not report["ok"]
    assert report["num_faults"] == len(report["faults"]) == 3
    assert report["faults"][0]["row"] == 2
    assert report["faults"][0]["pixel"] == 2


def test_check_submission__other_photos_end_with_1(submission, data):
    ended = run("check-submission", submission, data.test)
    assert ended.code == 1
    assert "'batch_01/val_0000.png' is none of the 3 expected ids" in ended.out
    assert f"{submission}: 4 fault(s)" in ended.out


def test_check_submission__labels_that_cannot_be_read_end_with_2(submission, tmp_path):
    assert_refused(run("check-submission", submission, tmp_path / "t.json"), "does not exist")


def test_check_submission__more_faults_than_are_shown(tmp_path):
    rows = "".join(f"{i}.png,1\n" for i in range(25))
    (tmp_path / "s.csv").write_text(f"image_id,PredictionString\n{rows}")
    ended = run("check-submission", tmp_path / "s.csv")
    assert ended.code == 1
    assert "25 fault(s), 15 not shown" in ended.out


def test_score__damaged_submission(submission, data):
    submission.write_text(submission.read_text().replace(" ", " 99 ", 1))
    ended = run("score", submission, data.val)
    assert_refused(ended, submission, "row 1", "'99' is out of range")


def test_score__other_photos(submission, data):
    rows = list(read_submission(submission))
    renamed = [("batch_01/stranger.png", rows[0][1]), *rows[1:]]
    write_submission(submission, renamed)
    ended = run("score", submission, data.val)
    assert_refused(
        ended,
        "are not about the same photos",
        "'batch_01/stranger.png' is not in val.json",
        "'batch_01/val_0000.png' has no row",
    )


def test_score__values_beyond_the_classes_of_the_labels(tmp_path, data):
    """A file for the competition's 12 classes against labels of two."""

    def keep_one_category(document):
        document["categories"] = [{"id": 1, "name": "Bottle"}]
        document["annotations"] = []
        document["images"] = document["images"][:1]

    change_document(data.val, keep_one_category)
    masks = [(next(iter(data.shapes["val"])), np.full((256, 256), 7, np.uint8))]
    write_submission(tmp_path / "s.csv", masks)
    ended = run("score", tmp_path / "s.csv", data.val)
    assert_refused(ended, "'7' is out of range; the rule is an integer from 0 to 1")


def test_error__of_the_operating_system_is_a_message(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / "secret"))

    monkeypatch.setattr("bunri.cli.train.read_recipe", refuse)
    assert_refused(run("train", "--show-config"), f"{tmp_path}/secret: Permission denied")


def test_photos__sixteen_bit_and_transparent_are_fine(model, data, tmp_path):
    """Not bad at all, though unusual: no refusal where there is nothing to refuse."""
    Image.fromarray(np.full((9, 7), 40_000, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (1, 1), (1, 2, 3, 0)).save(tmp_path / "dot.webp")
    ended = run("predict", model, tmp_path / "deep.png", tmp_path / "dot.webp", "--out", tmp_path)
    assert ended.code == 0, ended.err
