"""``bunri evaluate`` and ``bunri compare`` from the command line."""

import json
import re

import numpy as np
import pytest

from bunri.scores.metrics import compute_scores
from bunri.scores.result_files import read_result
from tests.builders import change_document
from tests.cli.runner import run
from tests.scores.score_population import draw_scenes, make_result, predict_scenes, write_evaluation


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """What ``evaluate`` printed as JSON, and where it was kept."""
    folder = tmp_path_factory.mktemp("evaluated") / "scores"
    ended = run("evaluate", trained / "first", trained / "data" / "val.json", "--out", folder,
                "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    return folder, json.loads(ended.out)


@pytest.fixture
def pair(tmp_path):
    """Two evaluations; the second model is 3 points better."""
    rng = np.random.default_rng(0)
    scenes = draw_scenes(rng, 300)
    old, new = predict_scenes(rng, scenes), predict_scenes(rng, scenes, 0.163)
    config = {"seed": 1, "optim": {"lr": 0.002, "name": "adamw"}}
    cost = {"parameters": 2000, "file_bytes": 8100, "photo_s": 0.125}
    write_evaluation(tmp_path / "old", make_result(old))
    write_evaluation(tmp_path / "new", make_result(new, config=config, cost=cost))
    return tmp_path / "old", tmp_path / "new"


def assert_refused(ended, *parts):
    assert ended.code == 2, (ended.out, ended.err)
    for part in parts:
        assert str(part) in " ".join(ended.err.replace("│", " ").split())


# --- evaluate -----------------------------------------------------------------------------------


def test_evaluate__what_is_kept_is_what_was_printed(evaluated):
    folder, report = evaluated
    kept = json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert {key: kept[key] for key in report} == report
    result = read_result(folder)
    sheet = compute_scores(result.sizes["photo"].matrices)
    assert report["miou"] == sheet.to_json(result.table.names)["miou"]
    assert result.photos == tuple(f"batch_01/val_{i:04d}.png" for i in range(4))


def test_evaluate__says_what_stands_behind_each_figure(evaluated):
    _, report = evaluated
    assert (report["num_photos"], report["num_pixels"]) == (4, 4 * 48 * 64)
    small = report["submission_size"]
    assert (small["num_photos"], small["num_pixels"]) == (4, 4 * 256 * 256)
    for sheet in (report, small):
        assert sum(row["pixels"] for row in sheet["classes"]) == sheet["num_pixels"]
        assert sum(row["predicted_pixels"] for row in sheet["classes"]) == sheet["num_pixels"]
        assert sheet["calibration"]["num_pixels"] == sheet["num_pixels"]
        assert 0 <= sheet["calibration"]["ece"] <= 1
        assert 0 <= sheet["boundary"]["miou"] <= 1
        assert sheet["intervals"]["global_miou"] is None  # of 4 photos


def test_evaluate__cost_and_settings(evaluated, trained):
    folder, report = evaluated
    weights = trained / "first" / "bundle" / "model.safetensors"
    assert report["cost"]["file_bytes"] == weights.stat().st_size
    # Values are float32 but for a few counters.
    assert report["cost"]["parameters"] == pytest.approx(weights.stat().st_size / 4, rel=0.02)
    assert report["cost"]["photo_s"] > 0
    assert read_result(folder).config["model"]["weights"] == "none"


def test_evaluate__run_keeps_it_in_itself_and_a_bundle_does_not(trained):
    data = trained / "data" / "val.json"
    ended = run("evaluate", trained / "first", data)
    assert ended.code == 0, ended.err
    assert f"Kept in {trained}/first/evaluation" in ended.out
    assert read_result(trained / "first" / "evaluation").model == str(trained / "first")
    before = sorted(trained.rglob("*"))
    ended = run("evaluate", trained / "first" / "bundle", data)
    assert "Kept" not in ended.out
    assert sorted(trained.rglob("*")) == before


def test_evaluate__fits_80_columns(trained):
    ended = run("evaluate", trained / "first", trained / "data" / "val.json")
    table = ended.out[ended.out.index("\nclass") : ended.out.index("boundary mIoU")]
    assert "General trash" in table
    assert re.search(r"IoU +95 % +precision +recall +F1 photos +pixels", table)
    assert max(map(len, table.splitlines())) <= 80


def test_evaluate__labels_without_objects_are_told(trained, data):
    """The truth is background everywhere, which may be meant."""
    change_document(data.val, lambda document: document.update(annotations=[]))
    ended = run("evaluate", trained / "first" / "bundle", data.val)
    assert ended.code == 0, ended.err
    assert (
        f"{data.val} holds no object: every pixel of its photos counts as Background." in ended.err
    )
    assert "holds no object" not in run("evaluate", trained / "first" / "bundle",
                                        trained / "data" / "val.json").err  # fmt: skip


def test_evaluate__out_cannot_be_written(trained, tmp_path):
    (tmp_path / "scores").write_text("mine")
    ended = run("evaluate", trained / "first", trained / "data" / "val.json", "--out",
                tmp_path / "scores")  # fmt: skip
    assert_refused(ended, tmp_path / "scores")
    assert "Predicting" not in ended.err  # found before the work
    assert (tmp_path / "scores").read_text() == "mine"


def test_evaluate__run_that_may_not_be_written(trained, tmp_path):
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "bundle").symlink_to(trained / "first" / "bundle")
    (run_folder / "evaluation").write_text("mine")
    ended = run("evaluate", run_folder, trained / "data" / "val.json")
    assert ended.code == 0
    assert "The evaluation is not kept" in ended.err
    assert "Kept" not in ended.out
    assert (run_folder / "evaluation").read_text() == "mine"


# --- under corruptions --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corrupted(trained, tmp_path_factory):
    """What ``evaluate --corruptions`` printed, where it was kept, and its page."""
    folder = tmp_path_factory.mktemp("corrupted")
    ended = run("evaluate", trained / "first", trained / "data" / "val.json", "--corruptions",
                "--out", folder / "scores", "--report", folder / "a.html")  # fmt: skip
    assert ended.code == 0, ended.err
    return folder / "scores", ended, (folder / "a.html").read_text("utf-8")


def test_evaluate_corruptions__table_is_sorted_by_what_is_lost(corrupted):
    folder, ended, _ = corrupted
    kept = json.loads((folder / "evaluation.json").read_text("utf-8"))["robustness"]
    drops = {one["name"]: one["drop"]["global"]["value"] for one in kept["corruptions"]}
    table = ended.out[ended.out.index("Under corruptions of severity 3") :]
    assert max(map(len, table[: table.index("Mean drop")].splitlines())) <= 80
    ranked = sorted(drops, key=lambda name: -drops[name])
    printed = [line.split("  ")[0].strip() for line in table.splitlines()[3:18]]
    assert printed == [name.replace("_", " ") for name in ranked]
    assert kept["worst"] == ranked[0]
    mean, worst = kept["mean"]["drop"]["global"]["value"], drops[ranked[0]]
    assert mean == pytest.approx(np.mean(list(drops.values())))
    assert f"drop of the global mIoU {mean:.3f}; worst: {ranked[0]}".replace("_", " ") in table
    assert f"{worst:.3f}" in table


def test_evaluate_corruptions__progress_counts_every_prediction(corrupted):
    assert "Predicting photos, clean and corrupted: 64" in corrupted[1].err


def test_evaluate_corruptions__clean_scores_are_those_without(corrupted, evaluated):
    with_corruptions = read_result(corrupted[0])
    plain = read_result(evaluated[0])
    np.testing.assert_array_equal(
        with_corruptions.sizes["photo"].matrices, plain.sizes["photo"].matrices
    )
    assert plain.robustness is None
    assert with_corruptions.robustness is not None
    assert with_corruptions.robustness.hits.shape == (15, 4, 12)


def test_evaluate_corruptions__json_and_severity(trained, corrupted, tmp_path):
    arguments = ("evaluate", trained / "first", trained / "data" / "val.json", "--corruptions",
                 "--out", tmp_path / "scores", "--json")  # fmt: skip
    strong = json.loads(run(*arguments, "--severity", "5").out)["robustness"]
    assert strong["severity"] == 5
    weak = json.loads((corrupted[0] / "evaluation.json").read_text("utf-8"))["robustness"]
    assert strong["corruptions"] != weak["corruptions"]


def test_evaluate_corruptions__page_shows_one_photo_under_all(corrupted):
    page = corrupted[2]
    section = page[page.index('id="robustness"') : page.index('id="mistakes"')]
    assert section.count("<figure>") == 16
    assert "dirty lens" in section
    assert "batch_01/val_" in section


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("9", "from 1 to 5, not 9"),
        ("0", "from 1 to 5, not 0"),
        ("-1", "from 1 to 5, not -1"),
        ("three", "unable to parse"),
    ],
)
def test_evaluate_corruptions__no_such_severity(model, data, value, said):
    ended = run("evaluate", model, data.val, "--corruptions", "--severity", value)
    assert_refused(ended, "severity", said)
    assert "Predicting" not in ended.err


def test_evaluate_corruptions__severity_of_nothing(model, data):
    assert_refused(run("evaluate", model, data.val, "--severity", "2"), "none are asked for",
                   "Add --corruptions")  # fmt: skip


# --- compare ------------------------------------------------------------------------------------


def test_compare__tells_verdicts_settings_and_cost(pair):
    old, new = pair
    ended = run("compare", old, new)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "300 photos that all have"
    (verdict,) = [line for line in lines if line.startswith("global mIoU")]
    difference = json.loads(run("compare", old, new, "--json").out)["runs"][1]["differences"]
    value, (low, high) = (difference["global_miou"][key] for key in ("value", "interval"))
    assert f" {value:+.4f} {low:+.4f} to {high:+.4f} better" in verdict
    small = json.loads(run("compare", old, new, "--json").out)["runs"][1]["submission_size"]
    (verdict,) = [line for line in lines if line.startswith("global, 256")]
    assert f" {small['differences']['global_miou']['value']:+.4f} " in verdict
    assert verdict.rstrip().endswith("better")
    assert any(re.match(r"class 5 IoU .*(better|no evidence)", line) for line in lines)
    assert "  optim.lr: 0.001 -> 0.002" in lines
    assert not any("seed" in line for line in lines)


def test_compare__two_seeds_of_one_recipe_are_no_evidence(tmp_path):
    rng = np.random.default_rng(0)
    scenes = draw_scenes(rng, 300)
    for seed in (21, 22):
        result = make_result(predict_scenes(rng, scenes), config={"seed": seed})
        write_evaluation(tmp_path / str(seed), result)
    ended = run("compare", tmp_path / "21", tmp_path / "22")
    rows = [line for line in ended.out.splitlines() if "mIoU" in line or ", 256" in line]
    assert len(rows) == 4
    assert all(row.rstrip().endswith("no evidence") for row in rows)
    assert "  seed: 21 -> 22" in ended.out.splitlines()


def test_compare__other_way_round_is_worse(pair):
    old, new = pair
    values = json.loads(run("compare", new, old, "--json").out)
    assert values["runs"][1]["differences"]["global_miou"]["verdict"] == "worse"


def test_compare__evaluated_run_against_an_evaluation(evaluated, trained):
    run("evaluate", trained / "first", trained / "data" / "val.json")
    ended = run("compare", trained / "first", evaluated[0], "--json")
    assert ended.code == 0, ended.err
    values = json.loads(ended.out)
    assert values["num_photos"] == 4
    assert values["runs"][1]["differences"]["global_miou"]["value"] == 0
    assert values["runs"][1]["differences"]["global_miou"]["verdict"] == "no evidence"


def list_names(text, names):
    """Return the rows of the first table in the order they are printed."""
    rows = text.split("\n\n")[0].splitlines()
    return [name for row in rows for name in names if row.startswith(str(name) + " ")]


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ([], "old"),
        (["--sort", "global"], "new"),
        (["--sort", "time"], "new"),
        (["--sort", "size"], "old"),
        (["--sort", "memory"], "old"),  # unknown for both: as given
        (["--sort", "name"], "new"),
    ],
)
def test_compare__order_of_the_rows(pair, options, first, monkeypatch):
    monkeypatch.chdir(pair[0].parent)
    ended = run("compare", "old", "new", *options)
    rest = {"old": "new", "new": "old"}[first]
    assert list_names(ended.out, ("old", "new")) == [first, rest]


def test_compare__common_photos_are_said(pair, tmp_path):
    result = read_result(pair[0])
    matrices = result.sizes["photo"].matrices[:40]
    write_evaluation(tmp_path / "part", make_result(matrices))
    ended = run("compare", pair[0], tmp_path / "part")
    assert "40 photos that all have" in ended.out
    assert f"left out of {pair[0]}: 260 photos that others lack" in ended.out
    assert "left out of " + str(tmp_path / "part") not in ended.out


def test_compare__names_from_data_are_shown_and_never_obeyed(tmp_path):
    rng = np.random.default_rng(0)
    scenes = draw_scenes(rng, 20)
    config = {"no[red]te\x1b[2J": "[bold]\x07"}
    for name, settings in (("a", {"seed": 1}), ("b", {"seed": 1, **config})):
        write_evaluation(tmp_path / name, make_result(predict_scenes(rng, scenes), config=settings))
    ended = run("compare", tmp_path / "a", tmp_path / "b")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert "\x07" not in ended.out
    assert "no[red]te\N{REPLACEMENT CHARACTER}[2J: None -> [bold]" in ended.out


def test_compare__no_evaluation_there(pair, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_refused(run("compare", pair[0], tmp_path / "empty"), "holds no evaluation",
                   "Make one with: bunri evaluate")  # fmt: skip
    assert_refused(run("compare", pair[0], tmp_path / "nowhere"), "There is no folder")


def test_compare__one_alone_or_twice(pair):
    assert_refused(run("compare", pair[0]), "two evaluations or more, not 1")
    assert_refused(run("compare", pair[0], pair[0]), "Given more than once", pair[0])


def test_compare__unknown_key(pair):
    assert_refused(run("compare", *pair, "--sort", "globl"), "'globl' is not one of", "'global'")


def test_compare__damaged(pair):
    (pair[1] / "matrices.npz").write_bytes(b"PK")
    assert_refused(run("compare", *pair), pair[1], "damaged", "Evaluate the model again")
