"""Tuning of models on labelled photos, and where the settings that help are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError, OutputError
from bunri.core.files import check_writable, hash_file, is_file
from bunri.core.progress import Progress, show_nothing
from bunri.labels.coco import require_labels, require_photos
from bunri.labels.rules import OverlapRule
from bunri.labels.sources import Data, open_labels
from bunri.labels.truth import check_truth, check_unseen
from bunri.model.bundle import INFO_NAME, write_prediction
from bunri.model.lookup import find_writable_bundle
from bunri.predict.ensemble import EnsembleFile, Member, check_tables, name_members, write_ensemble
from bunri.predict.settings import PLAIN
from bunri.predict.tune import Tuning, tune


@dataclass(frozen=True, slots=True)
class TunedModels:
    """Outcome of a search for settings of prediction.

    Attributes:
        kept_in: The bundle or ensemble file that was written; None for a dry run.
    """

    tuning: Tuning
    evidence: dict[str, Any]
    kept_in: Path | None
    warnings: tuple[str, ...]


def tune_models(
    models: Sequence[str],
    data: Data,
    *,
    images: Path | None = None,
    overlap_rule: OverlapRule = "largest-first",
    score: str = "global_miou",
    tries_crf: bool = False,
    output: Path | None = None,
    is_dry: bool = False,
    allow_pseudo: bool = False,
    allow_trained: bool = False,
    progress: Progress = show_nothing,
) -> TunedModels:
    """Search settings of prediction that win on labelled photos beyond chance, and keep them.

    Args:
        models: Models as on the command line.
        data: COCO file, or a set that was read from one.
        images: Folder of the photos; None for the folder of the file.
        overlap_rule: Rule that decides which of several objects a pixel belongs to.
        score: Score to raise; one of ``SCORES``.
        tries_crf: Try the CRF as well, which is slow.
        output: Ensemble file to write for several models; None for one model, whose bundle keeps
            the settings.
        is_dry: Keep nothing.
        allow_pseudo: Accept pseudo-labels as if they were true.
        allow_trained: Accept photos that a model was trained on.
        progress: Display of progress.

    Raises AnnotationError, InputError, ModelError, OutputError.
    """
    members = [Member(model, lambda _: PLAIN) for model in models]
    check_tables([(member.model, member.info.table) for member in members])
    if not is_dry:
        _check_target(models, output)
    dataset = require_photos(require_labels(open_labels(data, images, members[0].info.table)))
    warnings = check_truth(dataset, allow_pseudo=allow_pseudo)
    for member in members:
        warnings += check_unseen(
            member.info.photo_hashes, member.model, dataset,
            allow_trained=allow_trained, progress=progress,
        )  # fmt: skip
    tuning = tune(members, dataset, overlap_rule, progress, score=score, tries_crf=tries_crf)
    best = tuning.best
    settings = best.settings.model_dump(mode="json", exclude_defaults=True)
    evidence = {
        "data": str(dataset.source),
        "data_sha256": hash_file(dataset.source),
        "photos": len(dataset.photos),
        "score": score,
        "level": tuning.level,
        "helps": tuning.helps,
        "settings": settings,
        "weights": list(best.weights),
        "combine": best.combine,
        "trials": [trial.to_json() for trial in tuning.trials],
    }
    kept_in, prediction = None, {"settings": settings, "evidence": evidence}
    if not is_dry and output is None:
        kept_in = find_writable_bundle(models[0])
        write_prediction(kept_in, prediction)
    elif not is_dry and output is not None:
        kept_in = output
        ensemble = EnsembleFile(
            ensemble=tuple(models),
            weights=best.weights,
            combine=best.combine,
            prediction=prediction,
        )
        write_ensemble(output, ensemble)
    return TunedModels(tuning, evidence, kept_in, tuple(warnings))


def _check_target(models: Sequence[str], output: Path | None) -> None:
    """Refuse a place for the settings before the search."""
    if len(models) == 1:
        if output is not None:
            raise InputError(
                "--out is for several models; the settings of one are kept in its bundle."
            )
        check_writable(find_writable_bundle(models[0]) / INFO_NAME)
        return
    if output is None or output.suffix != ".json":
        raise InputError("Several models need --out FILE.json, where their ensemble is described.")
    if is_file(output):
        raise OutputError(f"{output} exists already.", hint="Choose another name with --out.")
    check_writable(output)
    name_members(output, models)
