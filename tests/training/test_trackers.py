"""What trackers are told, that nothing is told twice, and that they can do no harm."""

import importlib.util
import json
import math
import sys
from types import ModuleType
from typing import Any, ClassVar

import pytest

from bunri.core.errors import MissingExtraError
from bunri.training.plan import DataSource, RunFolder, RunPlan
from bunri.training.runs import resume_training, start_training
from bunri.training.trackers import flatten_record, flatten_settings
from tests.builders import TINY_SETTINGS, QuietListener, write_data
from tests.cli.runner import list_train_arguments, run

TRACKERS = ("tensorboard", "mlflow", "wandb")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch, tmp_path):
    """Nobody is logged in, and no server is named."""
    for name in (
        "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_API_KEY",
        "WANDB_PROJECT", "WANDB_NAME",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    # What bunri sets for itself must not outlive the test.
    for name in (
        "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_HTTP_REQUEST_TIMEOUT", "WANDB_ERROR_REPORTING",
    ):  # fmt: skip
        monkeypatch.setenv(name, "true")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def plan_run(data, *settings):
    from bunri.training.config import load_config

    config = load_config("", (*TINY_SETTINGS, "train.samples_per_epoch=3", *settings))
    train = DataSource.pair([data.train], [], "--images")
    val = DataSource.pair([data.val], [], "--val-images")
    return RunPlan(config, train, val)


class Hearing(QuietListener):
    def __init__(self):
        self.notes, self.warnings = [], []

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        self.warnings.append(text)

    def list_failures(self):
        return [text for text in self.warnings if "failed" in text]


class Stopping(Hearing):
    """Ends the process, as far as training can tell, at an event."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def end_epoch(self, record, *, is_best):
        if record["epoch"] == self._epoch:
            raise KeyboardInterrupt


def read_lines(folder):
    return [json.loads(line) for line in folder.metrics.read_text().splitlines()]


# -- a tracker of our own --------------------------------------------------------------------


class FakeTracker:
    """Notes what it is told; ``broken`` lists the calls that fail."""

    runs: ClassVar[dict[str, list[Any]]] = {}
    broken: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder, settings, run_id, num_given):
        self.fail("open")
        self.run_id = run_id or f"run-{len(self.runs)}"
        self.runs.setdefault(self.run_id, [])
        self.look = "look here"
        self.settings = settings
        self.num_given = num_given

    def fail(self, name):
        if name in self.broken:
            raise OSError(28, "No space left on device")

    def log_epoch(self, epoch, figures, picture):
        self.fail(f"epoch {epoch}")
        self.runs[self.run_id].append((epoch, figures, picture))

    def close(self, *, is_done):
        self.fail("close")
        self.runs[self.run_id].append("done" if is_done else "stopped")


@pytest.fixture
def fake(monkeypatch):
    class Fresh(FakeTracker):
        runs: ClassVar[dict[str, list[Any]]] = {}

    monkeypatch.setattr("bunri.training.trackers.TRACKERS", {"tensorboard": Fresh})
    return Fresh


def list_epochs(entries):
    return [entry if isinstance(entry, str) else entry[0] for entry in entries]


def test_tracking__gets_every_epoch_with_figures_and_picture(data, tmp_path, fake):
    folder, listener = RunFolder(tmp_path / "run"), Hearing()
    start_training(plan_run(data, "train.tracker=tensorboard"), folder, listener)
    (entries,) = fake.runs.values()
    assert list_epochs(entries) == [1, 2, "done"]
    lines = read_lines(folder)
    for (_, figures, picture), line in zip(entries[:2], lines, strict=True):
        assert figures == flatten_record(line)
        assert picture.read_bytes()[:2] == b"\xff\xd8"
    assert listener.notes == ["Look: look here"]
    assert not listener.list_failures()


def test_tracking__changes_no_figure_and_is_off_by_default(data, tmp_path, fake):
    folder, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "other")
    start_training(plan_run(data), folder, Hearing())
    assert not fake.runs
    assert not folder.tracking.exists()
    start_training(plan_run(data, "train.tracker=tensorboard"), other, Hearing())
    assert folder.metrics.read_bytes() == other.metrics.read_bytes()


@pytest.mark.parametrize("stop_at", [1, 2])
def test_tracking__stopped_and_resumed_gets_each_epoch_once(data, tmp_path, fake, stop_at):
    folder = RunFolder(tmp_path / "run")
    plan = plan_run(data, "train.tracker=tensorboard", "train.epochs=3")
    with pytest.raises(KeyboardInterrupt):
        start_training(plan, folder, Stopping(stop_at))
    resume_training(folder, Hearing())
    (entries,) = fake.runs.values()
    expected = [1, 2, 3, "done"]
    expected.insert(stop_at, "stopped")
    assert list_epochs(entries) == expected


def test_tracking__died_before_the_tracker_was_told(data, tmp_path, fake):
    folder = RunFolder(tmp_path / "run")
    plan = plan_run(data, "train.tracker=tensorboard")
    start_training(plan, folder, Hearing())
    # As after a kill between the checkpoint and the tracker.
    (entries,) = fake.runs.values()
    del entries[1:]
    state = json.loads(folder.tracking.read_text())
    folder.tracking.write_text(json.dumps({**state, "num_epochs": 1}))
    folder.metrics.unlink()
    resume_training(folder, Hearing())
    assert list_epochs(entries) == [1, 2, "done"]
    assert entries[1][1] == flatten_record(read_lines(folder)[1])


def test_tracking__run_that_begins_anew_is_a_new_one(data, tmp_path, fake):
    folder = RunFolder(tmp_path / "run")
    start_training(plan_run(data, "train.tracker=tensorboard"), folder, Hearing())
    folder.checkpoint.unlink()
    resume_training(folder, Hearing())
    assert [list_epochs(entries) for entries in fake.runs.values()] == [[1, 2, "done"]] * 2


@pytest.mark.parametrize("content", ["", "[]", '{"tracker": "mlflow"}', '{"tracker": 3}'])
def test_tracking__spoilt_state_begins_a_new_run(data, tmp_path, fake, content):
    folder = RunFolder(tmp_path / "run")
    start_training(plan_run(data, "train.tracker=tensorboard"), folder, Hearing())
    folder.tracking.write_text(content)
    resume_training(folder, Hearing())
    assert [list_epochs(entries) for entries in fake.runs.values()] == [[1, 2, "done"]] * 2


@pytest.mark.parametrize(
    ("broken", "given"), [("open", []), ("epoch 1", []), ("epoch 2", [1]), ("close", [1, 2])]
)
def test_tracking__failure_is_said_once_and_training_goes_on(data, tmp_path, fake, broken, given):
    fake.broken = (broken,)
    folder, listener = RunFolder(tmp_path / "run"), Hearing()
    start_training(plan_run(data, "train.tracker=tensorboard"), folder, listener)
    (failure,) = listener.list_failures()
    assert "tensorboard failed: [Errno 28] No space left on device. Training goes on" in failure
    assert [line["epoch"] for line in read_lines(folder)] == [1, 2]
    told = [e for entries in fake.runs.values() for e in list_epochs(entries)]
    assert [epoch for epoch in told if isinstance(epoch, int)] == given


def test_tracking__after_a_failure_a_resumed_run_makes_up_for_it(data, tmp_path, fake):
    fake.broken = ("open",)
    folder = RunFolder(tmp_path / "run")
    start_training(plan_run(data, "train.tracker=tensorboard"), folder, Hearing())
    fake.broken = ()
    resume_training(folder, Hearing())
    (entries,) = fake.runs.values()
    assert list_epochs(entries) == [1, 2, "done"]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_tracking__library_that_is_missing(data, tmp_path, monkeypatch, tracker):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == tracker else find(name)
    )
    ended = run(*list_train_arguments(data, tmp_path / "run", f"train.tracker={tracker}"))
    assert ended.code == 2
    assert f"train.tracker={tracker} needs {tracker}, which is not installed." in ended.err
    assert f'pip install "bunri[{tracker}]"' in ended.err
    assert "Reading" not in ended.err
    assert not (tmp_path / "run").exists()


def test_tracking__mere_folder_of_the_librarys_name(data, tmp_path, monkeypatch):
    (tmp_path / "bunri_no_such_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("bunri_no_such_tracker")
    assert spec is not None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    plan = plan_run(data, "train.tracker=wandb")
    with pytest.raises(MissingExtraError, match="wandb, which is not installed"):
        start_training(plan, RunFolder(tmp_path / "run"), Hearing())


# -- the real ones ---------------------------------------------------------------------------


def train_stopped_and_resumed(data, folder, tracker):
    plan = plan_run(data, f"train.tracker={tracker}", "train.epochs=3")
    stopping, listener = Stopping(2), Hearing()
    with pytest.raises(KeyboardInterrupt):
        start_training(plan, folder, stopping)
    resume_training(folder, listener)
    assert not stopping.list_failures() + listener.list_failures()
    return listener


def list_values(lines, name):
    """Return (epoch, value) of each line where there is data."""
    figures = [(line["epoch"], flatten_record(line)) for line in lines]
    return [(epoch, values[name]) for epoch, values in figures if name in values]


def test_tensorboard__reads_back_each_epoch_once(data, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = RunFolder(tmp_path / "run")
    listener = train_stopped_and_resumed(data, folder, "tensorboard")
    assert listener.notes == [f"Look: tensorboard --logdir {folder.path}/tensorboard"]
    accumulator = accumulators.EventAccumulator(str(folder.path / "tensorboard"))
    accumulator.Reload()
    lines = read_lines(folder)
    assert len(lines) == 3
    for name in flatten_record(lines[0]):
        events = accumulator.Scalars(name)
        expected = list_values(lines, name)
        assert [event.step for event in events] == [epoch for epoch, _ in expected]
        for event, (_, value) in zip(events, expected, strict=True):
            assert math.isclose(event.value, value, rel_tol=1e-6)
    assert [event.step for event in accumulator.Images("samples")] == [1, 2, 3]
    assert b"optim.lr" in b"".join(
        path.read_bytes() for path in (folder.path / "tensorboard").iterdir()
    )


def test_tensorboard__run_that_begins_anew_replaces_the_old_epochs(data, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = RunFolder(tmp_path / "run")
    start_training(plan_run(data, "train.tracker=tensorboard"), folder, Hearing())
    folder.checkpoint.unlink()
    resume_training(folder, Hearing())
    accumulator = accumulators.EventAccumulator(str(folder.path / "tensorboard"))
    accumulator.Reload()
    assert [event.step for event in accumulator.Scalars("val/loss")] == [1, 2]


def test_mlflow__reads_back_each_epoch_once(data, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    folder = RunFolder(tmp_path / "run")
    listener = train_stopped_and_resumed(data, folder, "mlflow")
    uri = (folder.path / "mlruns").as_uri()
    assert listener.notes[0].endswith(f"mlflow ui --backend-store-uri {uri}")
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bunri")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "run"
    assert found.info.status == "FINISHED"
    assert found.data.params["optim.lr"] == "0.0007"
    assert found.data.params["train.tracker"] == "mlflow"
    lines = read_lines(folder)
    for name in flatten_record(lines[0]):
        history = client.get_metric_history(found.info.run_id, name)
        found_values = [(metric.step, metric.value) for metric in history]
        assert found_values == list_values(lines, name)
    pictures = client.list_artifacts(found.info.run_id, "samples")
    assert [p.path for p in pictures] == [f"samples/epoch_00{i}.jpg" for i in (1, 2, 3)]


def test_mlflow__server_that_does_not_answer(data, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder, listener = RunFolder(tmp_path / "run"), Hearing()
    plan = plan_run(data, "train.tracker=mlflow", "train.epochs=1")
    assert start_training(plan, folder, listener).num_epochs == 1
    (failure,) = listener.list_failures()
    assert failure.startswith("mlflow failed: ")
    assert not (folder.path / "mlruns").exists()


def test_wandb__stays_offline_and_goes_on_under_its_name(data, tmp_path):
    pytest.importorskip("wandb")
    folder = RunFolder(tmp_path / "run")
    listener = train_stopped_and_resumed(data, folder, "wandb")
    run_id = json.loads(folder.tracking.read_text())["run_id"]
    parts = sorted((folder.path / "wandb").glob("offline-run-*"))
    assert {part.name.rpartition("-")[2] for part in parts} == {run_id}
    content = [(part / f"run-{run_id}.wandb").read_bytes() for part in parts]
    # One part for each process; both hold figures under the same names.
    assert all(b"val/miou_global" in text and b"iou/Paper pack" in text for text in content)
    pictures = [path for part in parts for path in (part / "files" / "media").rglob("*.jpg")]
    assert len(pictures) == 3
    assert any(str(part) in listener.notes[0] for part in parts)
    assert listener.notes[0].startswith("Look: wandb sync ")


class FakeWandb(ModuleType):
    """Notes what wandb is asked for."""

    def __init__(self, *, logged_in):
        super().__init__("wandb")
        self._logged_in = logged_in
        self.given = {}
        self.logged = []
        self.id, self.url, self.dir = "abc", "https://example.org/abc", "/nowhere/files"
        self.Settings = dict
        self.Image = str

    def login(self, *, prompt):
        assert prompt is False
        return self._logged_in

    def init(self, **given):
        self.given = given
        return self

    def log(self, values, *, step):
        self.logged.append((step, values))

    def finish(self, *, exit_code):
        self.logged.append(exit_code)


@pytest.mark.parametrize(
    ("logged_in", "mode", "expected"),
    [
        (False, None, "offline"), (True, None, "online"),
        (True, "offline", "offline"), (False, "online", "online"), (True, "disabled", "disabled"),
    ],
)  # fmt: skip
def test_wandb__goes_online_only_where_its_user_wants_it(
    tmp_path, monkeypatch, logged_in, mode, expected
):
    from bunri.training.tracker_backends import Wandb

    fake = FakeWandb(logged_in=logged_in)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    tracker = Wandb(tmp_path / "first", {"seed": 21}, "", 0)
    assert fake.given["mode"] == expected
    assert fake.given["dir"] == str(tmp_path / "first")
    assert (fake.given["id"], fake.given["resume"]) == (None, None)
    online = expected == "online"
    assert tracker.look == (fake.url if online else "wandb sync /nowhere")
    tracker.log_epoch(3, {"lr": 0.5}, tmp_path / "a.jpg")
    tracker.close(is_done=False)
    assert fake.logged == [(3, {"lr": 0.5, "samples": str(tmp_path / "a.jpg")}), 1]
    Wandb(tmp_path / "first", {}, "abc", 3)
    assert (fake.given["id"], fake.given["resume"]) == ("abc", "allow")


def test_command__says_where_to_look(data, tmp_path):
    pytest.importorskip("tensorboard")
    folder = tmp_path / "a run"
    ended = run(*list_train_arguments(data, folder, "train.tracker=tensorboard"))
    assert ended.code == 0, ended.err
    assert f"Look: tensorboard --logdir '{folder}/tensorboard'" in ended.err
    assert ended.err.index("Look: ") < ended.err.index("epoch   1/2")


# -- names -----------------------------------------------------------------------------------


def build_record(names_to_iou, **changes):
    classes = [{"name": name, "iou": iou, "photos": 1, "pixels": 1} for name, iou in names_to_iou]
    miou = {"global": 0.25, "per_image": None, "per_batch": 0.5, "batch_size": 16}
    return {
        "epoch": 4, "step": 8, "train_loss": 1.5, "val_loss": 2.5, "lr": 1e-3, "num_photos": 3,
        "pixel_accuracy": 0.75, "miou": miou, "classes": classes, **changes,
    }  # fmt: skip


def test_flatten_record__by_hand():
    assert flatten_record(build_record([("Paper pack", 0.5), ("Battery", None)])) == {
        "train/loss": 1.5,
        "val/loss": 2.5,
        "lr": 1e-3,
        "val/pixel_accuracy": 0.75,
        "val/miou_global": 0.25,
        "val/miou_per_batch": 0.5,
        "iou/Paper pack": 0.5,
    }


def test_flatten_record__hostile_and_equal_names():
    names = ["../../etc", "a/b", "a\\b", "\x1b[31m", "..", "금속 캔", "x" * 300]
    figures = flatten_record(build_record([(name, 0.5) for name in names]))
    assert [name for name in figures if name.startswith("iou/")] == [
        "iou/_.._etc", "iou/a_b", "iou/a_b 2", "iou/_31m", "iou/class", "iou/금속 캔",
        "iou/" + "x" * 80,
    ]  # fmt: skip


def test_flatten_settings__as_set_names_them():
    values = {"seed": 1, "augment": {"crop_area": [0.1, 1.0], "crop_size_px": None}}
    assert flatten_settings(values) == {
        "seed": 1,
        "augment.crop_area": [0.1, 1.0],
        "augment.crop_size_px": None,
    }
