"""Cost of bunri without torch: disk space, import, first answer and memory.

Creates a virtual environment in a temporary folder and installs the project there without extras.
Prints its size with the largest packages, the time of ``import bunri``, and time and peak memory of
``bunri predict`` for one photo of 512 x 512 with a MODEL in an ONNX file. Then writes, checks and
scores a submission for a rendered set in this environment. Ends with 1 if a limit is exceeded.

    python benchmarks/light.py --model MODEL
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from bunri.model.lookup import DEFAULT_MODEL
from bunri.scenes import write_sample_dataset

ROOT = Path(__file__).resolve().parents[1]
MAX_VENV_MB, MAX_IMPORT_S, MAX_ANSWER_S, MAX_PEAK_MB = 350.0, 0.3, 2.0, 400.0
NUM_LARGEST = 10
MB = 1e6


def measure_mb(path: Path) -> float:
    """Return the disk space of a file or a folder in MB, as ``du`` counts it."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if not p.is_symlink()]
    return sum(512 * file.lstat().st_blocks for file in files) / MB


def run_measured(command: list[str], folder: Path, cache: Path) -> tuple[float, float]:
    """Return seconds and peak megabytes of a command in a process of its own.

    Raises:
        SystemExit: The command failed.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["BUNRI_CACHE"] = str(cache)
    started = time.perf_counter()
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        duration_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            raise SystemExit(
                f"{' '.join(command)} ended with {process.returncode}:\n{output.read()}"
            )
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return duration_s, kilobytes * 1024 / MB


def install(folder: Path) -> Path:
    """Create a virtual environment with only the project; return its folder."""
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", ROOT], check=True)
    torch = subprocess.run([python, "-c", "import torch"], capture_output=True)
    if torch.returncode == 0:
        raise SystemExit("torch is installed: a base dependency requires it.")
    return folder


def print_disk(folder: Path) -> float:
    """Print the largest packages; return the size of the environment in MB."""
    (packages,) = folder.glob("lib/python*/site-packages")
    sizes = {path.name: measure_mb(path) for path in packages.iterdir()}
    total_mb = measure_mb(folder)
    for name in sorted(sizes, key=lambda name: -sizes[name])[:NUM_LARGEST]:
        print(f"  {sizes[name]:6.1f} MB  {name}")
    return total_mb


def measure_import_s(python: Path, num_runs: int) -> float:
    """Return the seconds of ``import bunri`` in a new process, without the start of Python."""
    program = "import time; t = time.perf_counter(); import bunri; print(time.perf_counter() - t)"
    times_s = [
        float(subprocess.run([python, "-c", program], capture_output=True, check=True).stdout)
        for _ in range(num_runs)
    ]
    return statistics.median(times_s)


def main() -> None:
    """Measure and print every figure with its limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="bundle folder with model.onnx, or .onnx file"
    )
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    given = Path(arguments.model)
    model = (
        str(given.absolute()) if given.exists() else arguments.model
    )  # a name, if it is not a path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        light = install(folder / "venv")
        bunri, cache = str(light / "bin" / "bunri"), folder / "cache"
        venv_mb = print_disk(light)
        import_s = measure_import_s(light / "bin" / "python", arguments.runs)
        write_sample_dataset(folder / "scenes", num_scenes=10)
        photo = min((folder / "scenes").rglob("*.jpg"))
        predict = [bunri, "predict", model, str(photo), "--out", "out"]
        measured = [run_measured(predict, folder, cache) for _ in range(arguments.runs)]
        answer_s, peak_mb = (statistics.median(column) for column in zip(*measured, strict=True))
        labels = str(folder / "scenes" / "val.json")
        for command in (
            ["submit", model, labels, "--out", "submission.csv"],
            ["check-submission", "submission.csv", labels],
            ["score", "submission.csv", labels],
        ):
            run_measured([bunri, *command], folder, cache)
            print(f"bunri {command[0]}: done without torch")
    rows = (
        ("venv", venv_mb, MAX_VENV_MB, "MB"),
        ("import bunri", import_s, MAX_IMPORT_S, "s"),
        ("bunri predict, first answer", answer_s, MAX_ANSWER_S, "s"),
        ("bunri predict, peak memory", peak_mb, MAX_PEAK_MB, "MB"),
    )
    for what, value, limit, unit in rows:
        verdict = "" if value <= limit else "  MISSED"
        print(f"{what:<28} {value:8.2f} {unit} (limit {limit:g}){verdict}")
    if any(value > limit for _, value, limit, _ in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
