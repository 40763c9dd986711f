"""Time from a photo to its mask: bunri compared with YOLO26n-sem and with torch.

One run on one machine, photos of 512 x 512, one at a time, equal numbers of threads. All ways are
measured in turn in every round, so that other load on the machine affects all of them. Prints
medians over rounds, and the median of the ratios to each rival in the same round.

- bunri: each bundle or ONNX file in ONNX Runtime and OpenVINO, through bunri's predictor and as
  the whole graph alone; in OpenVINO also in bfloat16 if the CPU supports it. There, operators of
  an int8 network that are not quantised run in bfloat16.
- YOLO26n-sem: the network of ultralytics with as many classes and random weights, exported to ONNX
  by ultralytics with resizing and argmax in the graph, in the same engines. Its photo already has
  the size of its frame, so that only scaling and transposing are left. ultralytics is AGPL
  software: it must be installed by the user and is not part of bunri.
- eager: the same network as bunri's, built by segmentation_models.pytorch, in torch with its
  default settings in float32, on the photo as it is and in the model's frame with resizing.

    pip install ultralytics openvino
    python benchmarks/inference.py --model exported-f32 --model exported-int8
"""

import argparse
import contextlib
import functools
import importlib
import importlib.util
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from bunri.model.info import BundleInfo
from bunri.model.lookup import open_model
from bunri.model.onnx_file import cut_network, read_onnx_file
from bunri.predict.backends.engines import Backend
from bunri.predict.backends.onnx_backend import OnnxBackend
from bunri.predict.backends.openvino_backend import OpenVinoBackend
from bunri.predict.predictor import Predictor

SIDE_PX = 512
REST_S = 0.05
"""Pause before each measurement, until the threads of the previous engine are idle."""
Photo = npt.NDArray[np.uint8]
Way = Callable[[], object]
Run = Callable[[Any], Any]


def start_onnxruntime(content: bytes, threads: int) -> Run:
    """Return a function that runs a graph with one input and one output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda given: session.run(None, {name: given})[0]


def start_openvino(content: bytes, threads: int, precision: str) -> Run:
    """Return a function that runs a graph with one input and one output."""
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision,
             "INFERENCE_NUM_THREADS": threads}  # fmt: skip
    request = core.compile_model(core.read_model(content), "CPU", hints).create_infer_request()
    return lambda given: request.infer([given])[0]


def list_bunri(models: list[str], photo: Photo, threads: int) -> tuple[dict[str, Way], BundleInfo]:
    """Return photo to mask and the network alone, by name, and the info of the last model."""
    ways: dict[str, Way] = {}
    info = None
    for name in models:
        stored = open_model(name)
        info = stored.info
        if stored.onnx is None:
            raise SystemExit(f"{name} has no ONNX file: bunri export {name} --out DIR")
        content = stored.onnx.read_bytes()
        model = read_onnx_file(stored.onnx).model
        precision = next(e.value for e in model.metadata_props if e.key == "precision")
        network = cut_network(model)
        backends: dict[str, Backend] = {f"ONNX Runtime {precision}": OnnxBackend(network, threads)}
        if importlib.util.find_spec("openvino"):
            backends[f"OpenVINO {precision}"] = OpenVinoBackend(network, threads)
            if precision == "f32":
                backends["OpenVINO bf16"] = OpenVinoBackend(network, threads, "bf16")
        whole = {f"ONNX Runtime {precision}": start_onnxruntime(content, threads)}
        if importlib.util.find_spec("openvino"):
            rest = "bf16" if precision == "int8" else "f32"
            whole[f"OpenVINO {precision}"] = start_openvino(content, threads, rest)
        for engine, run in whole.items():
            ways[f"whole graph, {engine}"] = functools.partial(run, photo[None])
        frame = info.preprocessing.prepare(photo).pixels
        for engine, backend in backends.items():
            mask = Predictor(info, backend).predict_mask
            ways[f"bunri, {engine}"] = functools.partial(mask, photo)
            ways[f"bunri, {engine}, network"] = functools.partial(backend.predict_probs, frame)
    assert info is not None
    return ways, info


def write_yolo(folder: Path, num_classes: int) -> Path:
    """Export the network of ultralytics with random weights as ONNX."""
    os.environ |= {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false",
                   "YOLO_OFFLINE": "true"}  # fmt: skip
    ultralytics: Any = importlib.import_module("ultralytics")
    source = Path(ultralytics.__file__).parent / "cfg" / "models" / "26" / "yolo26-sem.yaml"
    text = source.read_text("utf-8")
    assert "\nnc: 19" in text
    (folder / source.name).write_text(text.replace("\nnc: 19", f"\nnc: {num_classes}"), "utf-8")
    with contextlib.chdir(folder):  # ultralytics reads and writes in the working directory
        model = ultralytics.YOLO("yolo26n-sem.yaml", task="semantic", verbose=False)
        written = model.export(format="onnx", imgsz=SIDE_PX, simplify=False, verbose=False)
        return Path(written).absolute()


def list_yolo(photo: Photo, num_classes: int, threads: int) -> dict[str, Way]:
    """Return photo to mask and the network alone, by name."""
    with tempfile.TemporaryDirectory() as folder:
        content = write_yolo(Path(folder), num_classes).read_bytes()
    engines = {"ONNX Runtime f32": start_onnxruntime(content, threads)}
    if importlib.util.find_spec("openvino"):
        for precision in ("f32", "bf16"):
            engines[f"OpenVINO {precision}"] = start_openvino(content, threads, precision)

    def prepare() -> npt.NDArray[np.float32]:
        frame = np.ascontiguousarray(photo.transpose(2, 0, 1)[None]).astype(np.float32)
        frame /= 255.0
        return frame

    def predict(run: Run) -> npt.NDArray[np.uint8]:
        mask: npt.NDArray[np.uint8] = np.array(run(prepare())[0], np.uint8)
        assert mask.shape == photo.shape[:2]
        return mask

    ways: dict[str, Way] = {}
    for engine, run in engines.items():
        ways[f"YOLO26n-sem, {engine}"] = functools.partial(predict, run)
        ways[f"YOLO26n-sem, {engine}, network"] = functools.partial(run, prepare())
    return ways


def list_eager(photo: Photo, info: BundleInfo, threads: int) -> dict[str, Way]:
    """Return photo to mask and the network alone, in torch with default settings, at two sizes."""
    import torch
    import torch.nn.functional as F  # noqa: N812 (the usual name)

    from bunri.training.config import ModelConfig
    from bunri.training.networks.build import build_network

    torch.set_num_threads(threads)
    row = dict(info.architecture)
    num_classes = int(row.pop("num_classes"))
    network = build_network(ModelConfig(**row, weights="none"), num_classes)[0].eval()

    @torch.inference_mode()
    def run(pixels: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
        # The head of smp enlarges logits to the size of the frame.
        logits: torch.Tensor = F.interpolate(network(pixels), size_hw, mode="bilinear")
        return logits

    @torch.inference_mode()
    def predict(size_px: int) -> npt.NDArray[np.uint8]:
        prepared = replace(info.preprocessing, size_px=size_px).prepare(photo)
        logits = run(torch.from_numpy(prepared.pixels)[None], prepared.pixels.shape[1:])
        if size_px != SIDE_PX:
            logits = F.interpolate(logits, photo.shape[:2], mode="bilinear")
        mask: npt.NDArray[np.uint8] = logits[0].max(0).indices.to(torch.uint8).numpy()
        return mask

    ways: dict[str, Way] = {}
    for size_px in sorted({SIDE_PX, info.preprocessing.size_px}):
        frame = torch.zeros(1, 3, size_px, size_px)
        name = f"eager at {size_px}, torch f32"
        ways[name] = functools.partial(predict, size_px)
        ways[f"{name}, network"] = functools.partial(run, frame, (size_px, size_px))
    return ways


def measure(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each way in each round."""
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            time.sleep(REST_S)
            started = time.perf_counter()
            way()
            if number:  # the first round allocates memory
                times_ms[name].append(1000 * (time.perf_counter() - started))
    return times_ms


def report(times_ms: dict[str, list[float]]) -> None:
    """Print medians, and ratios to the same engine's YOLO26n-sem and to torch.

    An int8 network is compared with YOLO in float32 and in bfloat16.
    """
    medians = {name: statistics.median(taken) for name, taken in times_ms.items()}

    def show_ratio(name: str, rival: str) -> str:
        if rival not in times_ms:
            return "-"
        pairs = zip(times_ms[name], times_ms[rival], strict=True)
        return f"{statistics.median(own / other for own, other in pairs):.2f}"

    print(f"{'':44}{'ms':>8}{'/ YOLO f32':>12}{'/ YOLO bf16':>13}{'/ eager':>9}")
    for part in ("", ", network"):
        for name in (n for n in times_ms if n.endswith("network") == bool(part)):
            engine = name.split(", ")[1].rpartition(" ")[0]
            rivals = [f"YOLO26n-sem, {engine} {kind}{part}" for kind in ("f32", "bf16")]
            f32, bf16 = (show_ratio(name, rival) for rival in rivals)
            eager = show_ratio(name, f"eager at {SIDE_PX}, torch f32{part}")
            print(f"{name:44}{medians[name]:8.1f}{f32:>12}{bf16:>13}{eager:>9}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", action="append", required=True, help="model written by bunri export; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-yolo", action="store_true", help="leave ultralytics out")
    arguments = parser.parse_args()
    photo = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    ways, info = list_bunri(arguments.model, photo, arguments.threads)
    if not arguments.no_yolo:
        ways |= list_yolo(photo, len(info.table), arguments.threads)
    ways |= list_eager(photo, info, arguments.threads)
    times_ms = measure(ways, arguments.rounds)
    cores = f"{os.cpu_count()} cores, {arguments.threads} threads each"
    print(f"{platform.processor() or platform.machine()}, {cores}, {SIDE_PX} x {SIDE_PX}, "
          f"{arguments.rounds} rounds; network frame {info.preprocessing.size_px}")  # fmt: skip
    report(times_ms)


if __name__ == "__main__":
    main()
