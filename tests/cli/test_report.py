"""``bunri evaluate --report`` and ``bunri report`` from the command line."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save

from bunri.core.files import hash_file
from bunri.model.bundle import WEIGHTS_NAME, read_bundle, write_bundle, write_prediction
from bunri.report.pictures import PICTURES_NAME, read_pictures
from bunri.report.wrapup import files as wrapup_files
from tests.builders import change_document
from tests.cli.runner import run
from tests.report.pages.test_evaluation import read_english
from tests.report.pages.test_experiments import write_run


@pytest.fixture(scope="module")
def reported(trained, tmp_path_factory):
    """A copy of the trained run, evaluated with a page."""
    folder = tmp_path_factory.mktemp("reported")
    shutil.copytree(trained / "first", folder / "first")
    ended = run("evaluate", folder / "first", trained / "data" / "val.json", "--report",
                folder / "page.html")  # fmt: skip
    assert ended.code == 0, ended.err
    return folder, ended


def assert_refused(ended, *parts):
    assert ended.code == 2, (ended.out, ended.err)
    for part in parts:
        assert str(part) in " ".join(ended.err.replace("│", " ").split())


def test_evaluate__report_tells_what_was_printed(reported):
    folder, ended = reported
    assert f"Page: {folder}/page.html" in ended.out
    kept = json.loads((folder / "first" / "evaluation" / "evaluation.json").read_text("utf-8"))
    text = (folder / "page.html").read_text("utf-8")
    words = read_english(text)
    assert f"global mIoU {kept['miou']['global']:.3f} " in words
    assert "4 photos" in words
    assert text.count("<figure data-card=") == 4
    assert 'id="training"' in text  # of a run
    assert len(read_pictures(folder / "first" / "evaluation")) == 4


def test_evaluate__report_of_a_bundle_keeps_nothing_else(trained, tmp_path):
    before = sorted(trained.rglob("*"))
    ended = run("evaluate", trained / "first" / "bundle", trained / "data" / "val.json",
                "--report", tmp_path / "page.html", "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["num_photos"] == 4
    assert 'id="training"' not in (tmp_path / "page.html").read_text("utf-8")
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["page.html"]
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [("page.txt", "--report must end in .html"), ("", "--report must end in .html")],
)
def test_evaluate__report_is_no_page(trained, tmp_path, name, said):
    ended = run("evaluate", trained / "first", trained / "data" / "val.json", "--report",
                tmp_path / name)  # fmt: skip
    assert_refused(ended, said)
    assert "Predicting" not in ended.err


def test_evaluate__report_cannot_be_written(trained, tmp_path):
    (tmp_path / "mine").write_text("mine")
    ended = run("evaluate", trained / "first", trained / "data" / "val.json", "--report",
                tmp_path / "mine" / "page.html")  # fmt: skip
    assert_refused(ended, "Cannot write", tmp_path / "mine" / "page.html")
    assert "Predicting" not in ended.err


def test_evaluate__report_on_no_photos(trained, data, tmp_path):
    change_document(data.val, lambda document: document.update(images=[], annotations=[]))
    ended = run("evaluate", trained / "first", data.val, "--report", tmp_path / "page.html")
    assert_refused(ended, "no photos")
    assert not (tmp_path / "page.html").exists()


def test_evaluate__report_with_a_damaged_history(reported, trained, tmp_path):
    shutil.copytree(reported[0] / "first", tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("{")
    ended = run("evaluate", tmp_path / "run", trained / "data" / "val.json", "--report",
                tmp_path / "page.html")  # fmt: skip
    assert_refused(ended, "metrics.jsonl, line 1, is incomplete or damaged")
    assert "Predicting" not in ended.err


def test_report__trained_runs_as_a_page(reported, tmp_path):
    shutil.copytree(reported[0] / "first", tmp_path / "second")
    ended = run("report", reported[0] / "first", tmp_path / "second", "--out",
                tmp_path / "page.html")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "4 photos that all have" in ended.out
    words = read_english((tmp_path / "page.html").read_text("utf-8"))
    assert "no change of settings" in words


def test_report__wrap_up_of_a_trained_run(reported, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(wrapup_files, "find_browser", lambda: None)
    ended = run("report", reported[0] / "first", "--wrap-up", "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert f"Wrap-up: {tmp_path}/out/wrap-up.html, and as Markdown" in ended.out
    assert "No PDF: there is no Chromium" in ended.err
    words = read_english((tmp_path / "out" / "wrap-up.html").read_text("utf-8"))
    assert "Trained on, by first: train.json (6 photos)." in words
    assert "bunri train --recipe recipes/run_1.yaml --data data/train.json" in words
    recipe = tmp_path / "out" / "recipes" / "run_1.yaml"
    again = run("train", "--recipe", recipe, "--show-config")
    assert again.code == 0, again.err
    assert again.out == run("train", "--recipe", trained / "first" / "config.yaml",
                            "--show-config").out  # fmt: skip


@pytest.fixture(scope="module")
def three(reported, trained, tmp_path_factory):
    """A run, another with somewhat other weights, and both together, each evaluated."""
    folder, data = tmp_path_factory.mktemp("three"), trained / "data" / "val.json"
    shutil.copytree(reported[0] / "first", folder / "first")
    shutil.copytree(reported[0] / "first", folder / "second")
    bundle = folder / "second" / "bundle"
    tensors = load_file(bundle / WEIGHTS_NAME)
    changed = {key: value * 0.9 if value.ndim == 4 else value for key, value in tensors.items()}
    write_bundle(bundle, read_bundle(bundle), save(changed))
    for given in (
        [folder / "second", data],
        [folder / "first", folder / "second", data, "--combine", "soft", "--weights", "2,1",
         "--tta", "hflip", "--out", folder / "both", "--report", folder / "both.html"],
    ):  # fmt: skip
        ended = run("evaluate", *given)
        assert ended.code == 0, ended.err
    return folder


def test_report__wrap_up_tells_of_an_ensemble(three, tmp_path, monkeypatch):
    monkeypatch.setattr(wrapup_files, "find_browser", lambda: None)
    runs = [three / name for name in ("first", "second", "both")]
    ended = run("report", *runs, "--wrap-up", "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    words = read_english((tmp_path / "out" / "wrap-up.html").read_text("utf-8"))
    assert "both combines 2 models, soft (mean of probabilities)." in words
    values = json.loads(run("compare", *runs, "--json").out)["runs"]
    first, second, both = (f"{one['miou']['global']:.3f}" for one in values)
    assert f"first 2 {first} " in words
    assert f"second 1 {second} " in words
    assert f"together {both} " in words
    best = max(values[:2], key=lambda one: one["miou"]["global"])
    gain = values[2]["miou"]["global"] - best["miou"]["global"]
    name = "first" if best is values[0] else "second"
    shown = f"{gain:+.3f}".replace("-", "\N{MINUS SIGN}")
    against = f"Compared with {name}, the best of its models on these photos"
    assert f"{against}, its global mIoU differs by {shown}" in words
    assert "both: its folder holds no training history" not in words
    again = "bunri evaluate runs/first runs/second data/val.json --combine soft --weights 2,1"
    views = "--set 'flips=[\"horizontal\"]'"
    assert f"{again} --out runs/both {views} --report runs/both.html" in words


def test_report__page_tells_of_an_ensemble(three, tmp_path):
    ended = run("report", three / "first", three / "both", "--out", tmp_path / "page.html")
    assert ended.code == 0, ended.err
    words = read_english((tmp_path / "page.html").read_text("utf-8"))
    name = three.name
    assert (
        f"ensemble of {name}/first, {name}/second prediction.flips: none → ['horizontal']" in words
    )
    page = read_english((three / "both.html").read_text("utf-8"))
    assert "Ensemble, soft (mean of probabilities): " in page
    assert "Prediction settings: flips=['horizontal']." in page


def test_report__member_that_is_not_among_the_runs(three, tmp_path, monkeypatch):
    """Nor is one that was trained again since: the weights are other ones."""
    monkeypatch.setattr(wrapup_files, "find_browser", lambda: None)
    shutil.copytree(three / "first", tmp_path / "second")
    ended = run("report", tmp_path / "second", three / "both", "--wrap-up", "--out",
                tmp_path / "out")  # fmt: skip
    assert ended.code == 0, ended.err
    words = read_english((tmp_path / "out" / "wrap-up.html").read_text("utf-8"))
    assert f"therefore without a score: {three.name}/second." in words
    assert "Compared with second, the best of its models" in words  # which is first, by its weights


def test_compare__says_what_an_ensemble_is(three, monkeypatch):
    monkeypatch.chdir(three)
    ended = run("compare", "first", "both")
    assert f"  both is an ensemble (soft): {three}/first x 2, {three}/second x 1" in ended.out
    assert "  prediction.flips: None -> ['horizontal']" in ended.out
    assert "optim" not in ended.out


def test_evaluate__of_several_models_says_how_it_is_kept(three, trained):
    before = sorted(three.rglob("*"))
    ended = run("evaluate", three / "first", three / "second", trained / "data" / "val.json")
    assert ended.code == 0, ended.err
    assert "to keep it, add --out FOLDER" in ended.err
    assert sorted(three.rglob("*")) == before


def test_report__settings_that_were_chosen_on_the_same_photos(
    three, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(wrapup_files, "find_browser", lambda: None)
    data = trained / "data" / "val.json"
    shutil.copytree(three / "first", tmp_path / "tuned")
    evidence = {"data_sha256": hash_file(data), "helps": True}
    settings = {"flips": ["horizontal"]}
    write_prediction(tmp_path / "tuned" / "bundle", {"settings": settings, "evidence": evidence})
    plain = run("evaluate", tmp_path / "tuned", data, "--plain")
    assert "too high" not in plain.err
    ended = run("evaluate", tmp_path / "tuned", data, "--report", tmp_path / "page.html")
    assert f"chosen by bunri tune on {data} itself" in ended.err
    assert "the scores are optimistic" in read_english((tmp_path / "page.html").read_text("utf-8"))
    for given in (["--wrap-up", "--out", tmp_path / "out"], ["--out", tmp_path / "runs.html"]):
        assert run("report", three / "first", tmp_path / "tuned", *given).code == 0
    for page in ("out/wrap-up.html", "runs.html"):
        words = read_english((tmp_path / page).read_text("utf-8"))
        assert "tuned: the prediction settings were chosen by bunri tune on" in words


def test_report__leaves_other_files_alone(reported, tmp_path, monkeypatch):
    monkeypatch.setattr(wrapup_files, "find_browser", lambda: None)
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    ended = run("report", reported[0] / "first", "--wrap-up", "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_report__not_evaluated(reported, trained, tmp_path):
    ended = run("report", reported[0] / "first", trained / "data", "--out", tmp_path / "a.html")
    assert_refused(ended, "holds no evaluation", "Make one with: bunri evaluate")
    assert not (tmp_path / "a.html").exists()


def test_report__common_photos_are_said(tmp_path):
    first, part = write_run(tmp_path / "first"), write_run(tmp_path / "part", num_photos=7)
    ended = run("report", first, part, "--out", tmp_path / "a.html")
    assert ended.code == 0, ended.err
    assert "7 photos that all have" in ended.out
    assert "left out of first: 5 photos that others lack" in ended.out


def test_report__classes_differ(tmp_path):
    first = write_run(tmp_path / "first")
    other = write_run(tmp_path / "other", names=("Background", "can", "box", "jar"))
    ended = run("report", first, other, "--out", tmp_path / "a.html")
    assert_refused(ended, "Only models of the same classes can be compared", "jar")


def test_report__no_photo_in_common(tmp_path):
    first = write_run(tmp_path / "first")
    other = write_run(tmp_path / "other", files=[f"{i}.jpg" for i in range(12)])
    ended = run("report", first, other, "--out", tmp_path / "a.html")
    assert_refused(ended, "have no photo in common")


def test_report__twice_the_same(reported, tmp_path):
    first = reported[0] / "first"
    ended = run("report", first, first, "--out", tmp_path / "a.html")
    assert_refused(ended, "Given more than once")


def test_report__out_cannot_be_written(reported, tmp_path):
    first = reported[0] / "first"
    (tmp_path / "mine").write_text("mine")
    assert_refused(run("report", first, "--out", tmp_path / "page"), "--out must end in .html")
    ended = run("report", first, "--out", tmp_path / "mine" / "a.html")
    assert_refused(ended, "Cannot write")
    ended = run("report", first, "--wrap-up", "--out", tmp_path / "mine")
    assert_refused(ended, "Cannot write", tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"


def test_report__damaged_pictures(tmp_path):
    first = write_run(tmp_path / "first")
    (first / "evaluation" / PICTURES_NAME).write_text("{")
    ended = run("report", first, "--wrap-up", "--out", tmp_path / "out")
    assert_refused(ended, PICTURES_NAME, "damaged", "--report PAGE.html")
    assert not (tmp_path / "out").exists()
