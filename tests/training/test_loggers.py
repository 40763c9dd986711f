"""What trackers are given, that nothing is logged twice, and that they can do no harm."""

import importlib.util
import json
import math
import sys
from types import ModuleType, SimpleNamespace

import pytest

from bunri.core.errors import MissingExtraError
from bunri.training import loggers
from bunri.training.config import load_config
from bunri.training.loggers import RunLogger, flatten_record
from bunri.training.plan import RunFolder
from bunri.training.runs import resume_training, start_training
from tests.cli.runner import list_train_arguments, run
from tests.training.tiny import NotingListener, StoppingListener, plan_run, read_lines

SHORT = ("train.samples_per_epoch=3", "train.epochs=3")


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


# -- a logger of our own ---------------------------------------------------------------------


class FakeTracker:
    """Keeps the runs that its loggers wrote; ``broken`` lists the calls that fail."""

    def __init__(self):
        self.runs = {}
        self.broken = ()

    def open(self, folder, run_id, num_given):
        self.fail("open")
        return FakeLogger(self, run_id or f"run-{len(self.runs)}"), "view fake"

    def fail(self, name):
        if name in self.broken:
            raise OSError(28, "No space left on device")


class FakeLogger:
    def __init__(self, tracker, run_id):
        self.tracker = tracker
        self.version = self.run_id = run_id
        self.entries = tracker.runs.setdefault(run_id, [])
        self.pictures: list[object] = []
        self.experiment = SimpleNamespace(log_artifact=lambda *given: self.pictures.append(given))

    def log_hyperparams(self, settings):
        assert settings["train"]["epochs"] == 3

    def log_metrics(self, figures, step):
        self.tracker.fail(f"epoch {step}")
        self.entries.append((step, figures))

    def save(self):
        pass

    def finalize(self, status):
        self.tracker.fail("close")
        self.entries.append(status)


@pytest.fixture
def fake(monkeypatch):
    tracker = FakeTracker()
    monkeypatch.setattr(loggers, "OPENERS", {"mlflow": tracker.open})
    return tracker


def build_record(epoch=4, names_to_iou=(), **changes):
    classes = [{"name": name, "iou": iou, "photos": 1, "pixels": 1} for name, iou in names_to_iou]
    miou = {"global": 0.25, "per_image": None, "per_batch": 0.5, "batch_size": 16}
    return {
        "epoch": epoch, "step": 8, "train_loss": 1.5, "val_loss": 2.5, "lr": 1e-3, "num_photos": 3,
        "pixel_accuracy": 0.75, "miou": miou, "classes": classes, **changes,
    }  # fmt: skip


def log_epochs(path, first, last, *, is_done=True):
    """Log epochs as a run does that goes on with epoch ``first``; return the listener's events."""
    folder, listener = RunFolder(path), NotingListener()
    path.mkdir(exist_ok=True)
    config = load_config("", SHORT)
    logger = RunLogger(config, folder, listener, "mlflow")
    logger.open(first)
    for epoch in range(first, last + 1):
        lines = [json.dumps(build_record(number)) + "\n" for number in range(1, epoch + 1)]
        folder.metrics.write_text("".join(lines))
        logger.log_epoch(build_record(epoch))
    logger.close(is_done=is_done)
    return listener.events


def list_entries(fake):
    return [[e if isinstance(e, str) else e[0] for e in entries] for entries in fake.runs.values()]


def test_run_logger__resumed_run_logs_each_epoch_once(fake, tmp_path):
    events = log_epochs(tmp_path / "run", 1, 2, is_done=False)
    assert events == [("note", "View the figures: view fake")]
    log_epochs(tmp_path / "run", 3, 3)
    assert list_entries(fake) == [[1, 2, "KILLED", 3, "success"]]
    assert fake.runs["run-0"][0][1] == flatten_record(build_record(1))


def test_run_logger__died_before_an_epoch_was_logged(fake, tmp_path):
    log_epochs(tmp_path / "run", 1, 2)
    # As after a kill between the checkpoint and the logger.
    del fake.runs["run-0"][1:]
    state = tmp_path / "run" / "tracking.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "num_epochs": 1}))
    log_epochs(tmp_path / "run", 3, 3)
    assert list_entries(fake) == [[1, 2, 3, "success"]]


@pytest.mark.parametrize("content", [None, "", "[]", '{"tracker": "wandb"}', '{"tracker": 3}'])
def test_run_logger__run_that_begins_anew_is_a_new_one(fake, tmp_path, content):
    """With no checkpoint any more, or a state that is absent, damaged or another tracker's."""
    log_epochs(tmp_path / "run", 1, 2)
    if content is not None:
        (tmp_path / "run" / "tracking.json").write_text(content)
    else:
        (tmp_path / "run" / "metrics.jsonl").write_text("")  # as a run that starts writes it
    log_epochs(tmp_path / "run", 1 if content is None else 3, 3)
    assert list_entries(fake) == [[1, 2, "success"], [1, 2, 3, "success"]]


@pytest.mark.parametrize(
    ("broken", "given"), [("open", []), ("epoch 2", [1]), ("close", [1, 2, 3])]
)
def test_run_logger__failure_is_reported_once(fake, tmp_path, broken, given):
    fake.broken = (broken,)
    events = log_epochs(tmp_path / "run", 1, 3)
    (failure,) = [event[1] for event in events if event[0] == "warn"]
    assert "mlflow failed: [Errno 28] No space left on device. Training goes on" in failure
    logged = [entry for entries in list_entries(fake) for entry in entries]
    assert [entry for entry in logged if isinstance(entry, int)] == given
    if broken == "open":  # a resumed run makes up for it
        fake.broken = ()
        log_epochs(tmp_path / "run", 4, 4)
        assert list_entries(fake) == [[1, 2, 3, 4, "success"]]


def test_run_logger__none_and_other_processes_log_nothing(fake, tmp_path):
    listener = NotingListener()
    logger = RunLogger(load_config("", SHORT), RunFolder(tmp_path), listener, "none")
    logger.open(1)
    logger.log_epoch(build_record(1))
    logger.close(is_done=True)
    assert not fake.runs
    assert not listener.events


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "wandb"])
def test_open_logger__library_that_is_missing(data, tmp_path, monkeypatch, tracker):
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


def test_open_logger__mere_folder_of_the_librarys_name(data, tmp_path, monkeypatch):
    (tmp_path / "bunri_no_such_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("bunri_no_such_tracker")
    assert spec is not None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MissingExtraError, match="wandb, which is not installed"):
        start_training(plan_run(data, "train.tracker=wandb"), RunFolder(tmp_path / "run"))


# -- the real ones ---------------------------------------------------------------------------


def train_stopped_and_resumed(data, folder, tracker):
    plan = plan_run(data, f"train.tracker={tracker}", *SHORT)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_training(plan, folder, StoppingListener(3, stop))
    listener = NotingListener()
    resume_training(folder, listener)
    assert not [event for event in listener.events if "failed" in str(event)]
    return [event[1] for event in listener.events if event[0] == "note"]


def list_values(lines, name):
    """Return (epoch, value) of each line where there is data."""
    figures = [(line["epoch"], flatten_record(line)) for line in lines]
    return [(epoch, values[name]) for epoch, values in figures if name in values]


def test_tensorboard__reads_back_each_epoch_once(data, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = RunFolder(tmp_path / "run")
    notes = train_stopped_and_resumed(data, folder, "tensorboard")
    assert notes == [f"View the figures: tensorboard --logdir {folder.path}/tensorboard"]
    accumulator = accumulators.EventAccumulator(str(folder.path / "tensorboard"))
    accumulator.Reload()
    lines = read_lines(folder.metrics)
    assert len(lines) == 3
    for name in flatten_record(lines[0]):
        events = accumulator.Scalars(name)
        expected = list_values(lines, name)
        assert [event.step for event in events] == [epoch for epoch, _ in expected]
        for event, (_, value) in zip(events, expected, strict=True):
            assert math.isclose(event.value, value, rel_tol=1e-6)
    assert [event.step for event in accumulator.Images("samples")] == [1, 2, 3]
    assert b"optim/lr" in b"".join(
        path.read_bytes() for path in (folder.path / "tensorboard").iterdir()
    )


def test_mlflow__reads_back_each_epoch_once(data, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    folder = RunFolder(tmp_path / "run")
    notes = train_stopped_and_resumed(data, folder, "mlflow")
    uri = (folder.path / "mlruns").as_uri()
    assert notes[0].endswith(f"mlflow ui --backend-store-uri {uri}")
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bunri")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "run"
    assert found.info.status == "FINISHED"
    assert found.data.params["optim/lr"] == "0.0007"
    assert found.data.params["train/tracker"] == "mlflow"
    lines = read_lines(folder.metrics)
    for name in flatten_record(lines[0]):
        history = client.get_metric_history(found.info.run_id, name)
        found_values = [(metric.step, metric.value) for metric in history]
        assert found_values == list_values(lines, name)
    pictures = client.list_artifacts(found.info.run_id, "samples")
    assert [p.path for p in pictures] == [f"samples/epoch_00{i}.jpg" for i in (1, 2, 3)]


def test_mlflow__server_that_does_not_answer(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    events = log_epochs(tmp_path / "run", 1, 1)
    (failure,) = [event[1] for event in events if event[0] == "warn"]
    assert failure.startswith("mlflow failed: ")
    assert not (tmp_path / "run" / "mlruns").exists()


def test_wandb__stays_offline_and_goes_on_under_its_name(data, tmp_path):
    pytest.importorskip("wandb")
    folder = RunFolder(tmp_path / "run")
    notes = train_stopped_and_resumed(data, folder, "wandb")
    run_id = json.loads(folder.tracking.read_text())["run_id"]
    parts = sorted((folder.path / "wandb").glob("offline-run-*"))
    assert {part.name.rpartition("-")[2] for part in parts} == {run_id}
    content = [(part / f"run-{run_id}.wandb").read_bytes() for part in parts]
    # One part for each process; both hold figures under the same names.
    assert all(b"val/miou_global" in text and b"iou/Paper pack" in text for text in content)
    pictures = [path for part in parts for path in (part / "files" / "media").rglob("*.jpg")]
    assert len(pictures) == 3
    assert any(str(part) in notes[0] for part in parts)
    assert notes[0].startswith("View the figures: wandb sync ")


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
    given = {}

    def build_logger(**options):
        given.update(options)
        run = SimpleNamespace(url="https://example.org/abc", dir="/nowhere/files")
        return SimpleNamespace(experiment=run)

    wandb = ModuleType("wandb")
    monkeypatch.setattr(wandb, "login", lambda *, prompt: logged_in, raising=False)
    monkeypatch.setattr(wandb, "Settings", dict, raising=False)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    lightning = SimpleNamespace(WandbLogger=build_logger)
    monkeypatch.setitem(sys.modules, "lightning.pytorch.loggers", lightning)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    _, hint = loggers.OPENERS["wandb"](tmp_path / "first", "", 0)
    assert given["mode"] == expected
    assert (given["save_dir"], given["id"]) == (str(tmp_path / "first"), None)
    assert hint == ("https://example.org/abc" if expected == "online" else "wandb sync /nowhere")
    loggers.OPENERS["wandb"](tmp_path / "first", "abc", 3)
    assert given["id"] == "abc"


# -- names -----------------------------------------------------------------------------------


def test_flatten_record__by_hand():
    assert flatten_record(build_record(4, [("Paper pack", 0.5), ("Battery", None)])) == {
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
    figures = flatten_record(build_record(4, [(name, 0.5) for name in names]))
    assert [name for name in figures if name.startswith("iou/")] == [
        "iou/_.._etc", "iou/a_b", "iou/a_b 2", "iou/_31m", "iou/class", "iou/금속 캔",
        "iou/" + "x" * 80,
    ]  # fmt: skip
    reduced = flatten_record(build_record(4, [("금속 캔", 0.5)]), ascii_only=True)
    assert "iou/_ _" in reduced
