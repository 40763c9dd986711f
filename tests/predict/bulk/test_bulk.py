"""Bulk prediction: every photo one row, whatever dies; what is done is never done again."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import ImageError, InputError, MissingExtraError, PathError, RunError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.images.frames import Preprocessing
from bunri.labels.records import RunLengths
from bunri.labels.run_lengths import decode_counts, expand_run_lengths
from bunri.model.info import BundleInfo
from bunri.model.lookup import StoredModel
from bunri.predict.bulk.job import BulkJob, JobIdentity, run_bulk_job
from bunri.predict.bulk.job import make_job as prepare_job
from bunri.predict.bulk.ray_pool import RayPool, open_ray
from bunri.predict.bulk.source import BulkPhoto, find_bulk_photos, read_uri
from bunri.predict.bulk.worker import BulkWorker, build_schema
from tests.cli.runner import run
from tests.conftest import REPOSITORY
from tests.predict.fakes import ColorBackend, build

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

SIZE_HW = (20, 30)


def write_photo(path, level):
    """A grey photo; its level says what the fake model sees in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE_HW[::-1], (level, level, level)).save(path)


def make_maker(note_start=None, pause_s=0.0, deadly_level=None):
    """Return what loads a fake model, nested, so that workers need not find this file.

    It sees class ``level`` in the upper half of a photo, and background below.
    """

    class Fake:
        def __init__(self):
            from bunri.core.waste_classes import COMPETITION_TABLE

            self.table = COMPETITION_TABLE
            if note_start is not None:
                with Path(note_start).open("a") as file:
                    file.write(f"{os.getpid()}\n")

        def predict_mask(self, image):
            time.sleep(pause_s)
            if image[0, 0, 0] == deadly_level:
                os.kill(os.getpid(), signal.SIGKILL)
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[: len(mask) // 2] = image[0, 0, 0]
            return mask

    return Fake


def make_job(source, folder, maker=None, weights="1"):
    identity = JobIdentity(source="photos", weights_sha256=weights, classes=[])
    return BulkJob(source, folder, maker or make_maker(), identity)


def run_job(job, advance=lambda: None, **options):
    return run_bulk_job(job, progress=lambda label, total: nullcontext(advance), **options)


def read_rows(folder):
    parts = sorted((folder / "rows").iterdir())
    return [row for part in parts for row in parquet.read_table(part).to_pylist()]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for number in range(8):
        write_photo(folder / f"batch_{number % 2}" / f"{number}.png", number)
    return folder


@pytest.fixture
def in_process(monkeypatch):
    """Ray replaced by a loop: what is tested is all that is ours. Gives the blocks asked for."""
    asked = []

    def predict(pool, photos, make_predictor, *, one_by_one):
        asked.append(([photo.uri for photo in photos], one_by_one))
        worker = BulkWorker(make_predictor)
        for photo in photos:
            yield worker(arrow.table({"uri": [photo.uri], "mask_name": [photo.mask_name]}))

    monkeypatch.setattr(
        "bunri.predict.bulk.job.open_ray", lambda address, num: nullcontext(RayPool(1, 0))
    )
    monkeypatch.setattr("bunri.predict.bulk.job.predict_with_ray", predict)
    return asked


# -- sources


def test_source__a_folder_keeps_its_paths(photos, tmp_path):
    found = find_bulk_photos(photos, tmp_path / "out")
    assert found[0] == BulkPhoto(str(photos / "batch_0" / "0.png"), "batch_0/0")
    assert len(found) == 8


def test_source__a_list_is_relative_to_itself(photos, tmp_path):
    path = photos / "list.txt"
    path.write_text(f"batch_0/0.png\n\n  {photos}/batch_1/1.png\ns3://bucket/a b.jpg\n")
    found = find_bulk_photos(path, tmp_path / "out")
    assert [photo.uri for photo in found] == [
        str(photos / "batch_0" / "0.png"),
        str(photos / "batch_1" / "1.png"),
        "s3://bucket/a b.jpg",
    ]
    assert len({photo.mask_name for photo in found}) == 3
    assert all(len(photo.mask_name) == 35 for photo in found)


@pytest.mark.parametrize("column", ["uri", "path", "photo"])
def test_source__a_parquet(column, tmp_path):
    path = tmp_path / "photos.parquet"
    parquet.write_table(arrow.table({"size": [1, 2], column: ["/a.jpg", "gs://b/c.jpg"]}), path)
    assert [p.uri for p in find_bulk_photos(path, tmp_path)] == ["/a.jpg", "gs://b/c.jpg"]


def write_bad_sources(folder):
    (folder / "empty.txt").write_text("\n")
    (folder / "twice.txt").write_text("a.jpg\nb.jpg\na.jpg\n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe")
    (folder / "photo.jpg").write_bytes(b"")
    (folder / "damaged.parquet").write_bytes(b"PAR1 no")
    parquet.write_table(arrow.table({"name": ["a"]}), folder / "other.parquet")
    parquet.write_table(arrow.table({"uri": ["a", None]}), folder / "null.parquet")
    parquet.write_table(arrow.table({"uri": [1, 2]}), folder / "numbers.parquet")
    (folder / "nothing").mkdir()


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("none.txt", PathError, "does not exist"),
        ("empty.txt", PathError, "lists no photo"),
        ("nothing", PathError, "holds no photo"),
        ("twice.txt", InputError, "more than once:\n  - .*a.jpg"),
        ("binary.txt", InputError, "UTF-8"),
        ("photo.jpg", InputError, "no folder, no list"),
        ("damaged.parquet", InputError, "cannot be read as Parquet"),
        ("other.parquet", InputError, "none of the columns uri, path, photo; it has 'name'"),
        ("null.parquet", InputError, "row 1 holds None"),
        ("numbers.parquet", InputError, "row 0 holds 1"),
    ],
)
def test_source__that_cannot_be_used(tmp_path, name, error, words):
    write_bad_sources(tmp_path)
    with pytest.raises(error, match=words):
        find_bulk_photos(tmp_path / name, tmp_path / "out")


def test_uri__of_a_file_system_that_pyarrow_knows(photos):
    path = photos / "batch_1" / "3.png"
    assert (read_uri(path.as_uri()) == read_uri(str(path))).all()
    for wrong in ("file:///none.jpg", "nonsense://a/b", "file://\x00"):
        with pytest.raises(ImageError, match="cannot be read"):
            read_uri(wrong)


# -- workers


def test_worker__rows_hold_composition_and_run_lengths(photos):
    (photos / "bad.jpg").write_bytes(b"nope")
    batch = arrow.table(
        {
            "uri": [str(photos / "batch_1" / "3.png"), str(photos / "bad.jpg")],
            "mask_name": ["a", "b"],
        }
    )
    table = BulkWorker(make_maker())(batch)
    assert table.schema.names == [*build_schema().names, "png"]
    good, bad = table.to_pylist()
    assert (good["status"], good["reason"], good["mask"]) == ("done", None, "masks/a.png")
    assert (good["height_px"], good["width_px"]) == SIZE_HW
    assert [(c["index"], c["pixels"], c["share"]) for c in good["classes"]] == [
        (0, 300, 0.5),
        (3, 300, 0.5),
    ]
    assert good["classes"][1]["name"] == "Paper"
    runs = RunLengths(SIZE_HW, decode_counts(good["classes"][1]["counts"]))
    expected = np.zeros(SIZE_HW, bool)
    expected[:10] = True
    assert (expand_run_lengths(runs) == expected).all()
    assert (bad["status"], bad["mask"], bad["classes"], bad["png"]) == ("failed", None, [], None)
    assert "is not a photo" in bad["reason"]


def test_worker__a_model_that_fails_is_a_row_with_a_reason(photos):
    class Failing:
        table = COMPETITION_TABLE

        def predict_mask(self, image):
            raise MemoryError("no more")

    batch = arrow.table({"uri": [str(photos / "batch_1" / "3.png")], "mask_name": ["a"]})
    (row,) = BulkWorker(Failing)(batch).to_pylist()  # type: ignore[arg-type]
    assert (row["status"], row["reason"]) == ("failed", "MemoryError: no more")


# -- what is written


def test_job__masks_rows_and_failures(in_process, photos, tmp_path):
    (photos / "zero.jpg").write_bytes(b"")
    out = tmp_path / "out"
    result = run_job(make_job(photos, out))
    assert (result.num_photos, result.num_predicted) == (9, 9)
    ((uri, reason),) = result.failures
    assert uri == str(photos / "zero.jpg")
    assert "is empty" in reason
    assert (out / "failed.txt").read_text() == f"{uri}\n"
    rows = read_rows(out)
    assert sorted(row["photo"] for row in rows) == sorted(str(p) for p in photos.rglob("*.*g"))
    with Image.open(out / "masks" / "batch_1" / "3.png") as picture:
        assert picture.mode == "P"
        mask = np.asarray(picture)
    assert mask[0, 0] == 3
    assert np.count_nonzero(mask) == 300
    assert not list(out.rglob(".partial*"))


def test_job__the_same_again_does_nothing(in_process, photos, tmp_path):
    out = tmp_path / "out"
    run_job(make_job(photos, out))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.p*")}
    result = run_job(make_job(photos, out))
    assert result.num_predicted == 0
    assert len(in_process) == 1
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.p*")} == before


def test_job__stopped_and_called_again_goes_on(in_process, photos, tmp_path):
    out = tmp_path / "out"
    seen = []

    def stop_at_three():
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(photos, out), stop_at_three)
    assert len(read_rows(out)) == 3
    write_photo(photos / "new.png", 9)
    assert run_job(make_job(photos, out)).num_predicted == 6
    rows = read_rows(out)
    assert len(rows) == len({row["photo"] for row in rows}) == 9


def test_job__an_error_ends_the_stream_before_ray(monkeypatch, photos, tmp_path):
    """Ray would be started again for a stream that is still open."""
    events = []

    def predict(pool, photos, make_predictor, *, one_by_one):
        try:
            yield BulkWorker(make_predictor)(arrow.table({"uri": ["/none"], "mask_name": ["a"]}))
            yield None
        finally:
            events.append("stream ended")

    @contextmanager
    def open_fake(address, num_workers):
        try:
            yield RayPool(1, 0)
        finally:
            events.append("Ray ended")

    def fail():
        raise KeyboardInterrupt

    monkeypatch.setattr("bunri.predict.bulk.job.open_ray", open_fake)
    monkeypatch.setattr("bunri.predict.bulk.job.predict_with_ray", predict)
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(photos, tmp_path / "out"), fail)
    assert events == ["stream ended", "Ray ended"]


def test_job__a_row_that_comes_twice_is_written_once(monkeypatch, in_process, photos, tmp_path):
    def give_twice(pool, photos, make_predictor, *, one_by_one):
        worker = BulkWorker(make_predictor)
        batch = arrow.table(
            {"uri": [p.uri for p in photos], "mask_name": [p.mask_name for p in photos]}
        )
        yield worker(batch)
        yield worker(batch)

    monkeypatch.setattr("bunri.predict.bulk.job.predict_with_ray", give_twice)
    run_job(make_job(photos, tmp_path / "out"))
    assert len(read_rows(tmp_path / "out")) == 8


def test_job__a_photo_whose_worker_always_dies_has_a_row(monkeypatch, photos, tmp_path):
    deadly = str(photos / "batch_1" / "3.png")
    tries = []

    def lose_one(pool, photos, make_predictor, *, one_by_one):
        tries.append(one_by_one)
        worker = BulkWorker(make_predictor)
        # Another photo is lost with it, but not when each one is alone.
        lost = {deadly} if one_by_one else {deadly, photos[0].uri}
        for photo in photos:
            if photo.uri not in lost:
                yield worker(arrow.table({"uri": [photo.uri], "mask_name": [photo.mask_name]}))

    monkeypatch.setattr("bunri.predict.bulk.job.open_ray", lambda *_: nullcontext(RayPool(1, 0)))
    monkeypatch.setattr("bunri.predict.bulk.job.predict_with_ray", lose_one)
    result = run_job(make_job(photos, tmp_path / "out"))
    assert tries == [False, True]
    assert [uri for uri, _ in result.failures] == [deadly]
    rows = read_rows(tmp_path / "out")
    assert len({row["photo"] for row in rows}) == len(rows) == 8
    assert sum(row["status"] == "failed" for row in rows) == 1


def test_job__of_a_real_bundle_goes_on(monkeypatch, in_process, photos, tmp_path):
    """What stands in ``bulk.json`` is what the same command asks for again."""
    info = BundleInfo(COMPETITION_TABLE, Preprocessing(64, (0.0,) * 3, (1.0,) * 3), {})
    stored = StoredModel("first", tmp_path / "first", info)
    monkeypatch.setattr("bunri.predict.bulk.job.open_model", lambda model: stored)
    predictor = build(ColorBackend())
    monkeypatch.setattr("bunri.predict.bulk.job.load_predictor", lambda place: predictor)
    first = run_job(prepare_job("first", photos, tmp_path / "out"))
    again = run_job(prepare_job("first", photos, tmp_path / "out"))
    assert (first.num_predicted, again.num_predicted) == (8, 0)


def test_job__another_model_may_not_go_on(in_process, photos, tmp_path):
    run_job(make_job(photos, tmp_path / "out"))
    with pytest.raises(InputError, match="another job:\n  - weights_sha256 differs"):
        run_job(make_job(photos, tmp_path / "out", weights="2"))


def test_job__a_folder_that_something_else_wrote_is_refused(in_process, photos, tmp_path):
    (tmp_path / "out" / "masks").mkdir(parents=True)
    with pytest.raises(InputError, match="something else"):
        run_job(make_job(photos, tmp_path / "out"))


@pytest.mark.parametrize("name", ["bulk.json", "rows/part-000001.parquet"])
def test_job__damaged_files_of_its_own_are_named(in_process, photos, tmp_path, name):
    out = tmp_path / "out"
    run_job(make_job(photos, out))
    (out / name).write_bytes(b"{")
    with pytest.raises(RunError, match=name):
        run_job(make_job(photos, out))


def test_job__without_ray_says_how_to_install_it(monkeypatch, photos, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as caught:
        run_job(make_job(photos, tmp_path / "out"))
    assert "bunri[ray]" in str(caught.value)
    assert not (tmp_path / "out").exists()


# -- with Ray itself


class RayThatTakesSigterm:
    """Does to signals what Ray does when it starts, and fails or not."""

    def __init__(self, error=None):
        self.error = error

    def init(self, **options):
        signal.signal(signal.SIGTERM, lambda *_: None)
        if self.error is not None:
            raise self.error

    def cluster_resources(self):
        return {"CPU": 2.0}

    def shutdown(self):
        pass


@pytest.fixture
def earlier_handler():
    """What this process does on SIGTERM before Ray comes."""

    def handle(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, handle)
    yield handle
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("error", [None, ConnectionError("no cluster")])
def test_ray__gives_sigterm_back(monkeypatch, earlier_handler, error):
    monkeypatch.setitem(sys.modules, "ray", RayThatTakesSigterm(error))
    with nullcontext() if error is None else pytest.raises(RunError), open_ray(None, 1):
        ours = signal.getsignal(signal.SIGTERM)
        assert callable(ours)
        # Called and not sent: a signal may end a process that runs tests for others.
        with pytest.raises(SystemExit) as ended:
            ours(signal.SIGTERM, None)
        assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is earlier_handler


def test_ray__started_in_a_thread_leaves_signals_alone(monkeypatch):
    fake = RayThatTakesSigterm()
    monkeypatch.setattr(fake, "init", lambda **options: None)
    monkeypatch.setitem(sys.modules, "ray", fake)

    def plan():
        with open_ray(None, 1) as pool:
            return pool

    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(plan).result() == RayPool(1, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray warns of itself
def test_ray__a_killed_worker_costs_nothing_but_time(photos, tmp_path):
    pytest.importorskip("ray")
    for number in range(8, 40):
        write_photo(photos / f"{number}.png", number % 12)
    (photos / "bad.jpg").write_bytes(b"nope")
    out, pids = tmp_path / "out", tmp_path / "pids"
    earlier = signal.getsignal(signal.SIGTERM)
    killed: list[None] = []

    def kill_at_five():
        killed.append(None)
        if len(killed) == 5:
            os.kill(int(pids.read_text().split()[0]), signal.SIGKILL)

    job = make_job(photos, out, make_maker(str(pids), pause_s=0.05))
    result = run_job(job, kill_at_five, num_workers=1)
    assert result.num_predicted == 41
    assert [uri for uri, _ in result.failures] == [str(photos / "bad.jpg")]
    rows = read_rows(out)
    assert len({row["photo"] for row in rows}) == len(rows) == 41
    assert len(set(pids.read_text().split())) == 2, "another worker took its place"
    assert run_job(job).num_predicted == 0
    assert signal.getsignal(signal.SIGTERM) is earlier


DRIVER = """
import sys
from pathlib import Path
from tests.predict.bulk.test_bulk import make_job, make_maker, run_job

photos, out = map(Path, sys.argv[1:])
run_job(make_job(photos, out, make_maker(pause_s=1.0)), num_workers=1)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray warns of itself
def test_ray__a_killed_command_goes_on(photos, tmp_path):
    pytest.importorskip("ray")
    out = tmp_path / "out"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, photos, out], cwd=REPOSITORY)
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("masks/*/*.png")):
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        driver.kill()
        driver.wait()
    result = run_job(make_job(photos, out), num_workers=1)
    assert result.num_photos == 8
    rows = read_rows(out)
    assert len({row["photo"] for row in rows}) == len(rows) == 8
    assert not list(out.rglob(".partial*"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray warns of itself
def test_ray__a_photo_that_kills_its_worker_takes_no_other_along(photos, tmp_path):
    pytest.importorskip("ray")
    out = tmp_path / "out"
    job = make_job(photos, out, make_maker(deadly_level=3))
    result = run_job(job, num_workers=1)
    ((uri, reason),) = result.failures
    assert uri == str(photos / "batch_1" / "3.png")
    assert "died of it" in reason
    rows = read_rows(out)
    assert len({row["photo"] for row in rows}) == len(rows) == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["p", "--engine", "rey"], "'rey' is not one of 'local'"),
        (["p", "--address", "auto"], "are for --engine ray"),
        (["p", "--workers", "2"], "are for --engine ray"),
        (["p", "q", "--engine", "ray"], "one SOURCE, not 2"),
        (["p", "--engine", "ray"], "none"),
    ],
)
def test_cli__bad_input(tmp_path, arguments, words):
    ended = run("predict", tmp_path / "none", *arguments, "--out", tmp_path / "out")
    assert ended.code == 2
    assert words in ended.err
    assert not (tmp_path / "out").exists()
