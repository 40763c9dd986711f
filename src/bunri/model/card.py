"""The model card: what a person wants to know before using a model.

Owns its words and its front matter, which is that of Hugging Face's hub. Knows nothing of files.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bunri.core.version import __version__
from bunri.model.info import BundleInfo

NAME_KEY = "name"
"""Where ``BundleInfo.training`` has what a model is called."""
_PURPOSE = "Semantic segmentation of waste photos: what each pixel is made of."
_ANY_LICENSE = "other"
_KNOWN_LICENSES = {
    "apache-2.0": "apache-2.0",
    "cc by 4.0": "cc-by-4.0",
    "mit": "mit",
    "bsd-3-clause": "bsd-3-clause",
}
"""How the hub calls licences that model and data may have."""


def describe_model(info: BundleInfo, notes: str = "") -> str:
    """Return the card, Markdown with front matter.

    Args:
        info: Of the model.
        notes: What only people know: intended use, weaknesses, attribution; Markdown.
    """
    training = "\n".join(
        f"- {key}: {value}" for key, value in info.training.items() if key != "config"
    )
    licenses = "\n".join(f"- {key}: {value}" for key, value in info.licenses.items())
    network, size_px = info.architecture.get("name"), info.preprocessing.size_px
    parts = [
        f"{_write_front_matter(info)}\n# {_name_of(info)}\n",
        f"{_PURPOSE}\n{network} network, frames of {size_px} pixels, by bunri {__version__}.\n",
        _describe_scores(info.scores),
        *([notes.strip() + "\n"] if notes.strip() else []),
        f"## Use\n\n{_describe_use(info)}",
        f"## Training\n\n{training}\n",
        f"## Licences\n\n{licenses}\n",
    ]
    return "\n".join(parts)


def _name_of(info: BundleInfo) -> str:
    return str(info.training.get(NAME_KEY, "A bunri model"))


def _write_front_matter(info: BundleInfo) -> str:
    """Return YAML between dashes; every text is a JSON string, which YAML reads as it is."""
    lines = [
        "---",
        f"license: {_find_license(str(info.licenses.get('data', '')))}",
        "library_name: bunri",
        "pipeline_tag: image-segmentation",
        "tags: [waste, recycling, semantic-segmentation, onnx]",
        "language: [en, ko]",
    ]
    if learned := info.training.get("trained on"):
        lines += ["datasets:", *(f"  - {_quote(name)}" for name in str(learned).split(", "))]
    value = info.scores.get("miou", {}).get("global")
    if isinstance(value, float) and math.isfinite(value):
        lines += [
            "model-index:",
            f"  - name: {_quote(_name_of(info))}",
            "    results:",
            "      - task: {type: image-segmentation}",
            "        dataset:",
            f"          name: {_quote(info.training.get('validated on', 'validation photos'))}",
            "          type: coco",
            f"        metrics: [{{type: mean_iou, name: global mIoU, value: {value:.4f}}}]",
        ]
    return "\n".join([*lines, "---", ""])


def _find_license(name: str) -> str:
    return _KNOWN_LICENSES.get(name.strip().lower(), _ANY_LICENSE)


def _quote(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _describe_scores(scores: Mapping[str, Any]) -> str:
    if not scores:
        return "It was not scored on labelled photos.\n"
    miou = scores.get("miou", {})
    classes = scores.get("classes", [])
    intervals = scores.get("intervals", {}).get("classes") or [{}] * len(classes)
    rows = [
        f"| {row['name']} | {_show(row['iou'])} | {_show_interval(found.get('iou'))} | "
        f"{row['photos']} |"
        for row, found in zip(classes, intervals, strict=True)
    ]
    overall = f"global {_show(miou.get('global'))}, per image {_show(miou.get('per_image'))}"
    return "\n".join(
        [
            f"Validation mIoU: {overall},",
            f"per batch of {miou.get('batch_size')} {_show(miou.get('per_batch'))}.",
            "",
            "| class | IoU | 95 % over photos | validation photos with it |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _describe_use(info: BundleInfo) -> str:
    """Return how to predict with the model: with bunri, and with ONNX Runtime alone."""
    text = "```\npip install bunri\nbunri predict MODEL photo.jpg\n```\n"
    if not info.onnx_sha256:
        return text
    return (
        text
        + """
`model.onnx` needs nothing but ONNX Runtime: resizing, normalisation and the way back are in it.

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
    )


def _show_interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def _show(value: float | None) -> str:
    return "no data" if value is None else f"{value:.4f}"
