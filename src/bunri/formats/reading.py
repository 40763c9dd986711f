"""The shared part of all readers: photos, objects and faults become one labelled set."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from bunri.core.classes import ClassTable, normalize_name
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import AnnotationError, ImageError, InputError, PathError, suggest
from bunri.core.files import is_folder
from bunri.core.waste_classes import BACKGROUND_NAMES, COMPETITION_TABLE, choose_class_table
from bunri.formats.base import ReadOptions
from bunri.formats.naming import cut_suffix, list_photos, tidy_name
from bunri.images.photos import read_size_hw
from bunri.labels.coco_rows import is_name, parse_photo
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, Segmentation
from bunri.labels.segmentations import parse_polygon


class SetBuilder:
    """Collects photos, objects and faults; ends in a labelled set, or in all faults at once."""

    def __init__(
        self, source: Path, image_root: Path, options: ReadOptions, photo_root: Path | None = None
    ) -> None:
        self.problems: list[str] = []
        self._source, self._root, self._options = source, image_root, options
        self._photo_root = photo_root  # where photos are searched, if anywhere
        self._photos: dict[str, Photo] = {}
        # Photo id -> class and outline of each object; members of a group share their list.
        self._objects: dict[int, list[tuple[str, list[Segmentation]]]] = defaultdict(list)
        self._groups: dict[tuple[int, str, int], list[Segmentation]] = {}
        self._first_use: dict[str, tuple[str, str]] = {}  # class -> its spelling, and the place
        self._left_out: dict[str, int] = defaultdict(int)
        known = options.photos or (options.like.photos if options.like else ())
        self._known = {tidy_name(photo.file_name): photo for photo in known}
        self._known_stems = {cut_suffix(name): photo for name, photo in self._known.items()}

    @contextmanager
    def catch(self, where: str) -> Iterator[None]:
        """Record the fault of one item, so that reading continues with the next."""
        try:
            yield
        except (AnnotationError, ImageError, PathError) as error:
            self.problems.append(f"{where}: {error.message}")

    def read_files(
        self, files: Sequence[Path], root: Path, read: Callable[[Path, str], None]
    ) -> None:
        """Call ``read`` with each file and its path relative to ``root``; see :meth:`catch`."""
        with self._options.progress("Reading labels", len(files)) as advance:
            for file in files:
                name = file.relative_to(root).as_posix()
                with self.catch(name):
                    read(file, name)
                advance()

    @cached_property
    def photos_on_disk(self) -> dict[str, list[str]]:
        """Relative path without suffix -> relative paths, for all photos in the photo folder."""
        root = self._photo_root
        return list_photos(root) if root is not None and is_folder(root) else {}

    def find_photo(self, stem: str) -> tuple[str, tuple[int, int]] | None:
        """Return the name and (height, width) of a photo by its path without suffix, or None."""
        known = self._known_stems.get(stem)
        if known is not None:
            return known.file_name, known.size_hw
        names = self.photos_on_disk.get(stem, [])
        if len(names) > 1:
            raise PathError(f"it may be about {' or '.join(map(repr, names))}")
        if not names or self._photo_root is None:
            return None
        return names[0], read_size_hw(self._photo_root / names[0])

    def add_photo(self, file_name: object, height_px: object, width_px: object) -> Photo:
        """Return the record of a new photo, whose name and size are checked."""
        id_ = -1 - len(self._photos)  # until all photos are known
        photo = parse_photo(id_, self._root, file_name, height_px, width_px)
        if photo.file_name in self._photos:
            raise AnnotationError(f"the photo {photo.file_name!r} is listed before")
        known = self._known.get(tidy_name(photo.file_name), photo)
        if known.size_hw != photo.size_hw:
            raise AnnotationError(
                f"{photo.file_name!r} is {width_px}x{height_px} here, and elsewhere "
                f"{known.width_px}x{known.height_px} (width x height)"
            )
        self._photos[photo.file_name] = photo
        return photo

    def add_object(
        self, where: str, photo: Photo, label: object, shape: Segmentation, group: object = None
    ) -> None:
        """Add one object; polygons of the same photo, label and ``group`` become one."""
        if not is_name(label):
            raise AnnotationError(f"the label must be text, not {str(label)[:40]!r}")
        name = normalize_name(label)
        self._first_use.setdefault(name, (label, where))
        if isinstance(group, int) and isinstance(shape, Polygons):
            members = self._groups.setdefault((photo.id, name, group), [])
            members.append(shape)
            if len(members) > 1:
                return
        else:
            members = [shape]
        self._objects[photo.id].append((name, members))

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count something that is not an object with an outline; a warning reports the sum."""
        self._left_out[what] += count

    def build(self, declared: ClassTable | Sequence[str] | None = None) -> LabelledSet:
        """Return the set with the classes declared by the file; raise an error with all faults."""
        table = COMPETITION_TABLE
        try:
            table = self._choose_table(declared)
        except InputError as error:
            self.problems.append(error.message)
        index_of = {normalize_name(name): index for index, name in enumerate(table.names)}
        index_of |= dict.fromkeys(BACKGROUND_NAMES, BACKGROUND_INDEX)
        self.problems += [
            f"{where}: there is no class {label!r}.{suggest(label, table.names)}"
            for name, (label, where) in self._first_use.items()
            if name not in index_of
        ]
        if self.problems:
            raise AnnotationError(
                f"{self._source} cannot be used; {len(self.problems)} fault(s):",
                problems=self.problems,
            )
        return self._number(table, index_of)

    def _choose_table(self, declared: ClassTable | Sequence[str] | None) -> ClassTable:
        chosen = self._options.chosen_table
        if chosen is not None:
            return chosen
        if isinstance(declared, ClassTable):
            return declared
        if declared is not None:
            return choose_class_table(declared)
        # The file shows only those classes that are in use.
        known = {*map(normalize_name, COMPETITION_TABLE.names), *BACKGROUND_NAMES}
        if known.issuperset(self._first_use):
            return COMPETITION_TABLE
        return choose_class_table(sorted(label for label, _ in self._first_use.values()))

    def _number(self, table: ClassTable, index_of: dict[str, int]) -> LabelledSet:
        """Assign the ids of ``options.like``, else positions and class indices less one."""
        like = self._options.like
        if like is not None:
            names, indices = dict(like.category_names), dict(like.index_of_category)
        else:
            names = {index - 1: name for index, name in enumerate(table.names) if index}
            indices = {index - 1: index for index in range(1, len(table))}
        category_of = {index: id_ for id_, index in indices.items()}
        for index in sorted({index_of[name] for name in self._first_use} - category_of.keys()):
            # The background, or a class of the table that the other set has no category for.
            id_ = max(names, default=0) + 1
            names[id_], indices[id_], category_of[index] = table.names[index], index, id_
        like_ids = {tidy_name(p.file_name): p.id for p in (like.photos if like else ())}
        taken = set(like_ids.values())
        free = (number for number in range(len(self._photos) + len(taken)) if number not in taken)
        photos, annotations, annotation_id = [], {}, 0
        for photo in self._photos.values():
            known_id = like_ids.get(tidy_name(photo.file_name))
            id_ = next(free) if known_id is None else known_id
            photos.append(replace(photo, id=id_))
            rows = []
            for name, members in self._objects.get(photo.id, ()):
                annotation_id += 1
                category_id = category_of[index_of[name]]
                rows.append(Annotation(annotation_id, id_, category_id, _unite(members)))
            if rows:
                annotations[id_] = tuple(rows)
        return LabelledSet(
            source=self._source,
            image_root=self._root,
            photos=tuple(photos),
            annotations=annotations,
            category_names=names,
            table=table,
            is_labelled=True,
            licenses=like.licenses if like else (),
            warnings=tuple(f"{n} x {what} left out" for what, n in self._left_out.items()),
            index_of_category=indices,
        )


def _unite(members: list[Segmentation]) -> Segmentation:
    """Return several polygons as one outline."""
    if len(members) == 1:
        return members[0]
    return Polygons(
        tuple(p for shape in members if isinstance(shape, Polygons) for p in shape.parts)
    )


def flatten_points(value: object) -> list[object]:
    """Return [[x, y], ...] from a JSON file as [x, y, ...]; coordinates may be of any type."""
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise AnnotationError("'points' must be a list of [x, y]")
    return [v for point in value for v in point]


def make_polygon(flat: object) -> Polygons:
    """Return x0, y0, x1, y1, ... in pixels as an outline of one part, if they are valid."""
    return Polygons((parse_polygon(flat),))
