"""The model card: a Markdown summary of a model for those who consider using it.

Its front matter is that of the Hugging Face Hub.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bunri.core.version import __version__
from bunri.model.info import BundleInfo

NAME_KEY = "name"
"""Key of ``BundleInfo.training`` for the name of a model."""
_PURPOSE = "Semantic segmentation of waste photos: predicts the material of each pixel."
_HUB_LICENSES = ("apache-2.0", "cc-by-4.0", "mit", "bsd-3-clause")
_USE = """\
```
pip install bunri
bunri predict MODEL photo.jpg
```
"""
_USE_ONNX = """
`model.onnx` can also be run with ONNX Runtime alone: it resizes and normalises the photo itself
and returns a mask of the photo's size.

```python
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
photo = np.asarray(Image.open("photo.jpg").convert("RGB"))
classes = session.run(["classes"], {"photos": photo[None]})[0][0]  # uint8 (H, W)
names = session.get_modelmeta().custom_metadata_map["names_en"]
```
"""


def describe_model(info: BundleInfo, notes: str = "") -> str:
    """Return the model card, Markdown with front matter; ``notes`` are written by people."""
    training = {key: value for key, value in info.training.items() if key != "config"}
    network, size_px = info.architecture.get("name"), info.preprocessing.size_px
    parts = [
        f"{_write_front_matter(info)}\n# {_get_name(info)}\n",
        f"{_PURPOSE}\nNetwork: {network}, frames of {size_px} pixels, bunri {__version__}.\n",
        _describe_scores(info.scores),
        *([notes.strip() + "\n"] if notes.strip() else []),
        f"## Use\n\n{_USE}{_USE_ONNX if info.onnx_sha256 else ''}",
        f"## Training\n\n{_list_values(training)}\n",
        f"## Licences\n\n{_list_values(info.licenses)}\n",
    ]
    return "\n".join(parts)


def _get_name(info: BundleInfo) -> str:
    return str(info.training.get(NAME_KEY, "A bunri model"))


def _list_values(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in values.items())


def _write_front_matter(info: BundleInfo) -> str:
    """Return YAML between dashes; texts are written as JSON strings, which are valid YAML."""
    license_ = str(info.licenses.get("data", "")).strip().lower().replace(" ", "-")
    lines = [
        "---",
        f"license: {license_ if license_ in _HUB_LICENSES else 'other'}",
        "library_name: bunri",
        "pipeline_tag: image-segmentation",
        "tags: [waste, recycling, semantic-segmentation, onnx]",
        "language: [en, ko]",
    ]
    if datasets := info.training.get("trained on"):
        lines += ["datasets:", *(f"  - {_quote(name)}" for name in str(datasets).split(", "))]
    value = info.scores.get("miou", {}).get("global")
    if isinstance(value, float) and math.isfinite(value):
        lines += [
            "model-index:",
            f"  - name: {_quote(_get_name(info))}",
            "    results:",
            "      - task: {type: image-segmentation}",
            "        dataset:",
            f"          name: {_quote(info.training.get('validated on', 'validation photos'))}",
            "          type: coco",
            f"        metrics: [{{type: mean_iou, name: global mIoU, value: {value:.4f}}}]",
        ]
    return "\n".join([*lines, "---", ""])


def _quote(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _describe_scores(scores: Mapping[str, Any]) -> str:
    if not scores:
        return "This model was not scored on labelled photos.\n"
    miou = scores.get("miou", {})
    classes = scores.get("classes", [])
    intervals = scores.get("intervals", {}).get("classes") or [{}] * len(classes)
    rows = [
        f"| {row['name']} | {_show(row['iou'])} | {_show_interval(found.get('iou'))} | "
        f"{row['photos']} |\n"
        for row, found in zip(classes, intervals, strict=True)
    ]
    return f"""\
Validation mIoU: global {_show(miou.get("global"))}, per image {_show(miou.get("per_image"))},
per batch of {miou.get("batch_size")} {_show(miou.get("per_batch"))}.

| Class | IoU | 95 % interval | Validation photos with this class |
|---|---|---|---|
{"".join(rows)}"""


def _show_interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def _show(value: float | None) -> str:
    return "no data" if value is None else f"{value:.4f}"
