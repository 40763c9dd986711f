"""One visit to the doctor: a COCO file goes through every check that can be made.

Owns the order of checks and what each needs. The checks themselves stand in the files beside
this one, their words in :mod:`bunri.doctor.checks`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bunri.core.classes import ClassTable
from bunri.core.contracts import ImageArray
from bunri.core.errors import InputError, PathError
from bunri.core.files import is_folder, join_under
from bunri.core.progress import Progress
from bunri.core.waste_classes import choose_class_table
from bunri.doctor.checks import Need
from bunri.doctor.findings import Diagnosis, Findings
from bunri.doctor.model_checks import JudgedObject, PredictProbs, find_suspicious, judge_objects
from bunri.doctor.outline_checks import check_objects
from bunri.doctor.photo_checks import PhotoFault, check_header, decode_for_checks
from bunri.doctor.set_checks import (
    ExaminedSet,
    check_against_names,
    check_against_pixels,
    check_copies,
    check_labels,
)
from bunri.doctor.structure import SoundRows, check_structure
from bunri.images.similarity import Fingerprint, fingerprint_photo
from bunri.labels.coco import map_categories
from bunri.labels.document import read_json_object
from bunri.labels.overlap import measure_contest
from bunri.labels.records import Annotation, LabelledSet

Depth = Literal["json", "headers", "pixels"]
"""How far to look: the JSON alone, the photos' headers, or every pixel."""

_NEEDS: dict[Depth, frozenset[Need]] = {
    "json": frozenset({"json"}),
    "headers": frozenset({"json", "headers"}),
    "pixels": frozenset({"json", "headers", "pixels"}),
}


@dataclass(frozen=True, slots=True)
class CocoFile:
    """A document, the file it is from, and where its photos are."""

    document: dict[str, Any]
    path: Path
    image_root: Path


def read_coco_file(path: Path, image_root: Path | None) -> CocoFile:
    """Read a file to look at; anything may be wrong in it, as long as it is a JSON object.

    Args:
        path: The JSON.
        image_root: Where its photos are; its own folder if None.

    Raises:
        PathError: The file or the folder does not exist.
        AnnotationError: Not a JSON object, or too large.
    """
    root = path.parent if image_root is None else image_root
    if not is_folder(root):
        raise PathError(f"The image folder {root} does not exist.", hint="Choose it with --images.")
    return CocoFile(read_json_object(path), path, root)


@dataclass(slots=True)
class _PhotoLook:
    """What was seen in a photo file; kept, so that a second visit need not look again."""

    faults: list[PhotoFault]
    print: Fingerprint | None = None


@dataclass(slots=True)
class Doctor:
    """Looks at COCO files.

    Attributes:
        depth: How far to look.
        track: Opens progress bars.
        predict_probs: A model, to look for suspicious labels; needs ``depth`` "pixels".
        model_table: Its classes.
    """

    depth: Depth
    track: Progress
    predict_probs: PredictProbs | None = None
    model_table: ClassTable | None = None
    _looks: dict[tuple[Path, tuple[int, int]], _PhotoLook] = field(default_factory=dict)

    def examine(self, file: CocoFile, against: CocoFile | None = None) -> Diagnosis:
        """Make every check that can be made.

        Args:
            file: What to look at.
            against: Another split, which should share no photo with it.

        Raises:
            InputError: The model does not know the file's categories.
        """
        findings = Findings()
        examined = self._examine_alone(file, findings)
        summary = check_labels(examined, findings)
        done = set(_NEEDS[self.depth])
        if self.depth == "pixels":
            with self.track("Comparing photos", len(examined.prints)) as advance:
                check_copies(examined, findings, advance)
        if against is not None:
            other = self._examine_alone(against, Findings())
            check_against_names(examined, other, findings)
            done.add("against")
            if self.depth == "pixels":
                with self.track("Comparing splits", len(other.prints)) as advance:
                    check_against_pixels(examined, other, findings, advance)
                done.add("against-pixels")
        if self.predict_probs and self.depth == "pixels":
            self._check_with_model(examined, self.predict_probs, findings)
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
        examined = ExaminedSet(file.image_root, rows)
        classes = _read_classes(rows, self.model_table)
        annotations: dict[int, tuple[Annotation, ...]] = {}
        with self.track(f"Looking at labels of {file.path.name}", len(rows.objects)) as advance:
            for photo_id, objects in rows.objects.items():
                drawn = check_objects(objects, findings)
                if drawn is not None and classes is not None:
                    annotations[photo_id] = drawn.list_annotations()
                    contest = measure_contest(drawn.spans, drawn.list_classes(classes[1]))
                    if contest.contested_px:
                        examined.contests[photo_id] = contest
                advance()
        if classes is not None:
            examined.labelled = _make_labelled_set(file, rows, annotations, *classes)
        if self.depth != "json":
            self._look_at_photos(file, examined, findings)
        return examined

    def _look_at_photos(self, file: CocoFile, examined: ExaminedSet, findings: Findings) -> None:
        rows = examined.rows
        with self.track(f"Looking at photos of {file.path.name}", len(rows.photos)) as advance:
            for photo in rows.photos.values():
                path = join_under(file.image_root, photo.file_name)
                key = (path, photo.size_hw)
                if key not in self._looks:
                    self._looks[key] = self._look(path, check_header(path, photo))
                look = self._looks[key]
                for fault in look.faults:
                    findings.add(fault.check, rows.describe(photo, fault.note))
                if look.print is not None:
                    examined.prints[photo.file_name] = look.print
                advance()

    def _look(self, path: Path, faults: list[PhotoFault]) -> _PhotoLook:
        is_readable = not any(fault.is_fatal for fault in faults)
        if self.depth != "pixels" or not is_readable:
            return _PhotoLook(faults)
        image, more = decode_for_checks(path)
        return _PhotoLook(faults + more, None if image is None else fingerprint_photo(image))

    def _check_with_model(
        self, examined: ExaminedSet, predict_probs: PredictProbs, findings: Findings
    ) -> None:
        labelled = examined.labelled
        if labelled is None:
            return
        objects = {
            item.row["id"]: item for items in examined.rows.objects.values() for item in items
        }
        judged: list[JudgedObject] = []
        with self.track("Comparing labels with the model", len(labelled.photos)) as advance:
            for photo in labelled.photos:
                image = self._decode(labelled.path_of(photo), photo.size_hw)
                if image is not None:
                    judged += judge_objects(labelled, photo, image, predict_probs)
                advance()
        for annotation_id, note in find_suspicious(judged, labelled.table.names):
            findings.add("suspicious-label", objects[annotation_id].describe(note))

    def _decode(self, path: Path, size_hw: tuple[int, int]) -> ImageArray | None:
        """Return a photo that has no fatal fault and fits its labels."""
        if any(fault.is_fatal for fault in self._looks[path, size_hw].faults):
            return None
        image, _ = decode_for_checks(path)
        return image if image is not None and image.shape[:2] == size_hw else None


def _read_classes(
    rows: SoundRows, model_table: ClassTable | None
) -> tuple[ClassTable, dict[int, int]] | None:
    """Return the class table and category id -> mask index; None if categories make no table."""
    try:
        table = model_table or choose_class_table(list(rows.categories.values()))
        return table, map_categories(rows.categories, table)
    except InputError:
        if model_table is not None:
            raise
        return None


def _make_labelled_set(
    file: CocoFile,
    rows: SoundRows,
    annotations: dict[int, tuple[Annotation, ...]],
    table: ClassTable,
    index_of_category: dict[int, int],
) -> LabelledSet:
    """Return what is sound as a labelled set."""
    return LabelledSet(
        source=file.path,
        image_root=file.image_root,
        photos=tuple(rows.photos.values()),
        annotations=annotations,
        category_names=rows.categories,
        table=table,
        is_labelled=rows.is_labelled,
        index_of_category=index_of_category,
    )


def _count_rows(document: dict[str, Any], name: str) -> int:
    rows = document.get(name)
    return len(rows) if isinstance(rows, list) else 0
