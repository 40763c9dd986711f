"""Files that a run writes into its folder: the model, pictures, metrics, timings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from safetensors.torch import save
from torch import nn

from bunri.core.classes import ClassTable
from bunri.core.files import replace_atomically, write_text
from bunri.images.drawing import Comparison, draw_comparisons
from bunri.images.frames import Preprocessing
from bunri.labels.records import LabelledSet
from bunri.model.bundle import write_bundle
from bunri.model.info import BundleInfo
from bunri.scores.metrics import ScoreSheet
from bunri.training.config import Config
from bunri.training.networks.build import describe_network
from bunri.training.networks.weights import PretrainedWeights
from bunri.training.plan import RunFolder


@dataclass(frozen=True, slots=True)
class RunWriter:
    """Writes into one run folder."""

    folder: RunFolder
    config: Config
    sets: Mapping[str, Sequence[LabelledSet]]  # by part, train and val

    @property
    def table(self) -> ClassTable:
        """The class table of all sets."""
        return self.sets["train"][0].table

    def write_bundle(
        self,
        network: nn.Module,
        epoch: int,
        scores: ScoreSheet,
        licenses: dict[str, str],
        photo_hashes: frozenset[str],
    ) -> None:
        """Store a network as the run's model; see :class:`bunri.model.bundle.BundleInfo`."""
        config = self.config
        tensors = {k: v.contiguous().cpu() for k, v in network.state_dict().items()}
        names = {part: ", ".join(map(_describe_set, sets)) for part, sets in self.sets.items()}
        info = BundleInfo(
            table=self.table,
            preprocessing=Preprocessing.build(config.input.size_px, config.input.normalization),
            architecture=describe_network(config.model, len(self.table)),
            training={
                "trained on": names["train"],
                "validated on": names["val"],
                "epoch": f"{epoch} of {config.train.epochs}",
                "chosen by": config.train.select_by,
                "config": config.model_dump(mode="json"),
            },
            scores=scores.to_json(self.table.names),
            licenses=licenses,
            photo_hashes=photo_hashes,
        )
        write_bundle(self.folder.bundle, info, save(tensors))

    def write_samples(self, epoch: int, samples: Sequence[Comparison]) -> None:
        """Draw validation photos beside truth and prediction."""
        if not samples:
            return
        picture = draw_comparisons(samples, self.table)
        with replace_atomically(self.folder.path_of_samples(epoch)) as temporary:
            Image.fromarray(picture).save(temporary, quality=88)

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the metrics of all epochs."""
        lines = [json.dumps(record, ensure_ascii=False) for record in history]
        write_text(self.folder.metrics, "".join(line + "\n" for line in lines))

    def cut_back(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Drop the lines of epochs that will be run again."""
        path = self.folder.timings
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        write_text(path, "".join(lines[: len(history)]))
        self.write_history(history)

    def add_timing(self, epoch: int, seconds: Mapping[str, float]) -> None:
        """Add the seconds that an epoch took."""
        with self.folder.timings.open("a") as file:
            file.write(json.dumps({"epoch": epoch, **seconds}) + "\n")


def _describe_set(dataset: LabelledSet) -> str:
    pseudo = " with pseudo-labels" if dataset.is_pseudo else ""
    return f"{dataset.source.name} ({len(dataset.photos)} photos{pseudo})"


def describe_licenses(
    pretrained: PretrainedWeights | None, datasets: Sequence[LabelledSet]
) -> dict[str, str]:
    """Return the licences of the weights at the start and of the photos."""
    start = f"{pretrained.license} ({pretrained.source})" if pretrained else "random start"
    names = list(dict.fromkeys(name for d in datasets for name in d.licenses))
    return {"weights": start, "data": ", ".join(names) or "not declared in the annotation files"}
