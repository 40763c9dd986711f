"""Examination of a COCO file and its photos: every check that the available sources allow."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bunri.core.contracts import ImageArray
from bunri.core.errors import InputError
from bunri.core.files import join_under
from bunri.core.progress import Progress, show_nothing
from bunri.doctor.checks import Need
from bunri.doctor.findings import Diagnosis, Findings
from bunri.doctor.model_checks import JudgedObject, ProbsModel, find_suspicious, judge_objects
from bunri.doctor.outline_checks import check_objects
from bunri.doctor.photo_checks import PhotoFault, check_header, decode_for_checks
from bunri.doctor.set_checks import (
    ExaminedSet,
    check_against_names,
    check_against_pixels,
    check_copies,
    check_labels,
)
from bunri.doctor.structure import check_structure
from bunri.images.similarity import Fingerprint, fingerprint_photo
from bunri.labels.coco import build_labelled_set, find_image_root
from bunri.labels.coco_rows import CocoRows
from bunri.labels.document import read_json_object
from bunri.labels.overlap import measure_contest
from bunri.labels.records import LabelledSet

Depth = Literal["json", "headers", "pixels"]
"""Sources to examine: the JSON alone, the photos' headers too, or all their pixels too."""

_DEPTHS: tuple[Depth, ...] = get_args(Depth)


@dataclass(frozen=True, slots=True)
class CocoFile:
    """Content of a COCO file, its path, and the folder of its photos."""

    document: dict[str, Any]
    path: Path
    image_root: Path


def read_coco_file(path: Path, image_root: Path | None) -> CocoFile:
    """Read a file to examine; anything may be wrong in it, as long as it is a JSON object."""
    root = find_image_root(path, image_root)
    return CocoFile(read_json_object(path), path, root)


@dataclass(slots=True)
class _PhotoResult:
    """Faults and fingerprint of a photo file; kept, so that it is read only once."""

    faults: list[PhotoFault]
    print: Fingerprint | None = None


@dataclass(slots=True)
class Doctor:
    """Examiner of COCO files; reads each photo once, also when it examines a file again.

    Attributes:
        model: Model to search for suspicious labels with; used with ``depth`` "pixels" only.
    """

    depth: Depth = "pixels"
    progress: Progress = show_nothing
    model: ProbsModel | None = None
    _results: dict[tuple[Path, tuple[int, int]], _PhotoResult] = field(default_factory=dict)

    def examine(self, file: CocoFile, against: CocoFile | None = None) -> Diagnosis:
        """Run all checks that the sources allow; ``against`` should share no photo with it."""
        findings = Findings()
        examined = self._examine_alone(file, findings)
        summary = check_labels(examined, file.document, findings)
        done = set[Need](_DEPTHS[: _DEPTHS.index(self.depth) + 1])
        if self.depth == "pixels":
            with self.progress("Comparing photos", len(examined.prints)) as advance:
                check_copies(examined, findings, advance)
        if against is not None:
            other = self._examine_alone(against, Findings())
            check_against_names(examined, other, findings)
            done.add("against")
            if self.depth == "pixels":
                with self.progress("Comparing splits", len(other.prints)) as advance:
                    check_against_pixels(examined, other, findings, advance)
                done.add("against-pixels")
        if self.model and self.depth == "pixels":
            self._check_with_model(examined, self.model, findings)
            done.add("model")
        return Diagnosis(
            findings=findings.list_findings(),
            num_photos=_count_rows(file.document, "images"),
            num_annotations=_count_rows(file.document, "annotations"),
            done=frozenset(done),
            summary=summary,
        )

    def _examine_alone(self, file: CocoFile, findings: Findings) -> ExaminedSet:
        rows = check_structure(file.document, file.image_root, findings)
        examined = ExaminedSet(file.image_root, rows, self._build_set(file, rows))
        label = f"Checking labels of {file.path.name}"
        with self.progress(label, len(rows.objects)) as advance:
            for photo_id, objects in rows.objects.items():
                drawn, spans = check_objects(objects, findings)
                if spans is not None and examined.labelled is not None:
                    indices = examined.labelled.index_of_category
                    contest = measure_contest(spans, [indices[item.category_id] for item in drawn])
                    if contest.contested_px:
                        examined.contests[photo_id] = contest
                advance()
        if self.depth != "json":
            self._check_photos(file, examined, findings)
        return examined

    def _build_set(self, file: CocoFile, rows: CocoRows) -> LabelledSet | None:
        """Return the usable labels; None if the categories make no class table."""
        table = self.model.table if self.model else None
        try:
            return build_labelled_set(file.document, rows, file.path, file.image_root, table)
        except InputError:
            if table is not None:
                raise
            return None

    def _check_photos(self, file: CocoFile, examined: ExaminedSet, findings: Findings) -> None:
        rows = examined.rows
        label = f"Checking photos of {file.path.name}"
        with self.progress(label, len(rows.photos)) as advance:
            for photo in rows.photos.values():
                path = join_under(file.image_root, photo.file_name)
                key = (path, photo.size_hw)
                if key not in self._results:
                    self._results[key] = self._check_photo(path, check_header(path, photo))
                result = self._results[key]
                for fault in result.faults:
                    findings.add(fault.check, rows.describe(photo, fault.note))
                if result.print is not None:
                    examined.prints[photo.file_name] = result.print
                advance()

    def _check_photo(self, path: Path, faults: list[PhotoFault]) -> _PhotoResult:
        if self.depth != "pixels" or any(fault.is_fatal for fault in faults):
            return _PhotoResult(faults)
        image, more = decode_for_checks(path)
        return _PhotoResult(faults + more, None if image is None else fingerprint_photo(image))

    def _check_with_model(
        self, examined: ExaminedSet, model: ProbsModel, findings: Findings
    ) -> None:
        labelled = examined.labelled
        if labelled is None:
            return
        objects = {
            item.row["id"]: item for items in examined.rows.objects.values() for item in items
        }
        judged: list[JudgedObject] = []
        with self.progress("Comparing labels with the model", len(labelled.photos)) as advance:
            for photo in labelled.photos:
                image = self._decode(labelled.path_of(photo), photo.size_hw)
                if image is not None:
                    judged += judge_objects(labelled, photo, image, model)
                advance()
        for annotation_id, note in find_suspicious(judged, labelled.table.names):
            findings.add("suspicious-label", objects[annotation_id].describe(note))

    def _decode(self, path: Path, size_hw: tuple[int, int]) -> ImageArray | None:
        """Return a photo that has no fatal fault and is of the stated size."""
        if any(fault.is_fatal for fault in self._results[path, size_hw].faults):
            return None
        image, _ = decode_for_checks(path)
        return image if image is not None and image.shape[:2] == size_hw else None


def _count_rows(document: dict[str, Any], name: str) -> int:
    rows = document.get(name)
    return len(rows) if isinstance(rows, list) else 0
