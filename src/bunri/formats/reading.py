"""What the readers of all formats share: photos, objects and faults become one labelled set.

Owns numbering, and the class table where a format has no category ids. Knows no format.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bunri.core.classes import ClassTable, normalize_name
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import AnnotationError, ImageError, InputError, PathError, suggest
from bunri.core.files import is_folder
from bunri.core.progress import Progress, show_nothing
from bunri.core.waste_classes import BACKGROUND_NAMES, COMPETITION_TABLE, choose_class_table
from bunri.formats.naming import cut_suffix, list_photos, tidy_name
from bunri.images.photos import read_size_hw
from bunri.labels.coco import is_name, parse_photo
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, Segmentation


@dataclass(frozen=True, slots=True, eq=False)
class ReadOptions:
    """What a reader may be told besides the path."""

    image_root: Path | None = None
    """Where photos lie; without it, where the format has them."""
    table: ClassTable | None = None
    """The classes; without it those the format states, else a table made of the names found."""
    like: LabelledSet | None = None
    """A set whose classes, category ids and photo ids this one shares; goes before ``table``."""
    photos: Sequence[Photo] = ()
    """Photos whose names and sizes are known, for formats that lack them."""
    progress: Progress = show_nothing

    @property
    def known_photos(self) -> Sequence[Photo]:
        """Photos of which name and size are known."""
        return self.photos or (self.like.photos if self.like else ())


class PhotoFinder:
    """Finds the photo that a file without its full name or size is about."""

    def __init__(self, root: Path | None, options: ReadOptions) -> None:
        self.root = root
        self._known = {cut_suffix(photo.file_name): photo for photo in options.known_photos}

    @cached_property
    def on_disk(self) -> dict[str, list[str]]:
        """Relative path without suffix -> relative paths, of all photos below the root."""
        return list_photos(self.root) if self.root is not None and is_folder(self.root) else {}

    def find(self, stem: str) -> tuple[str, tuple[int, int]] | None:
        """Return name, and height and width in pixels, of a photo; None if there is none.

        Args:
            stem: Its relative path without suffix.

        Raises:
            ImageError: The photo is no photo.
            PathError: Several photos have this name.
        """
        known = self._known.get(stem)
        if known is not None:
            return known.file_name, known.size_hw
        names = self.on_disk.get(stem, [])
        if len(names) > 1:
            raise PathError(f"it may be about {' or '.join(map(repr, names))}")
        if not names or self.root is None:
            return None
        return names[0], read_size_hw(self.root / names[0])


class SetBuilder:
    """Collects photos, objects and faults; ends in a labelled set, or in all faults at once."""

    def __init__(self, source: Path, image_root: Path, options: ReadOptions) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._source, self._root, self._options = source, image_root, options
        self._photos: dict[str, Photo] = {}
        # Photo id -> class and outline of each object; members of a group share their list.
        self._objects: dict[int, list[tuple[str, list[Segmentation]]]] = defaultdict(list)
        self._groups: dict[tuple[int, str, int], list[Segmentation]] = {}
        self._first_use: dict[str, tuple[str, str]] = {}  # class -> as written, and where
        self._left_out: dict[str, int] = defaultdict(int)
        self._known = {tidy_name(photo.file_name): photo for photo in options.known_photos}
        self._like_ids = {
            tidy_name(photo.file_name): photo.id
            for photo in (options.like.photos if options.like else ())
        }

    @contextmanager
    def catch(self, where: str) -> Iterator[None]:
        """Note what is wrong with one item, and go on with the next."""
        try:
            yield
        except (AnnotationError, ImageError, PathError) as error:
            self.problems.append(f"{where}: {error.message}")

    def add_photo(self, file_name: object, height_px: object, width_px: object) -> Photo:
        """Return the record of a photo.

        Raises:
            AnnotationError: Its name or size cannot be, or it is there before.
            PathError: Its name leads out of the image root.
        """
        id_ = -1 - len(self._photos)  # until all are known
        photo = parse_photo(id_, self._root, file_name, height_px, width_px)
        if photo.file_name in self._photos:
            raise AnnotationError(f"the photo {photo.file_name!r} is there before")
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
        """Keep one object.

        Args:
            where: For messages.
            photo: What :meth:`add_photo` gave.
            label: The name of its class.
            shape: Its outline.
            group: Polygons of one photo, label and group number are parts of one object.

        Raises:
            AnnotationError: Its label is no name.
        """
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
        """Count what cannot be read as an object with an outline; a warning says how much."""
        self._left_out[what] += count

    def build(self, declared: ClassTable | Sequence[str] | None = None) -> LabelledSet:
        """Return the labelled set.

        Args:
            declared: The classes that the format states, or their names in order; None if it
                states none.

        Raises:
            AnnotationError: With every fault that was found.
        """
        self.warnings += [f"{n} x {what} left out" for what, n in self._left_out.items()]
        table = COMPETITION_TABLE
        try:
            table = self._choose_table(declared)
        except InputError as error:
            self.problems.append(error.message)
        index_of = {normalize_name(name): index for index, name in enumerate(table.names)}
        index_of |= dict.fromkeys(BACKGROUND_NAMES, BACKGROUND_INDEX)
        for name, (label, where) in self._first_use.items():
            if name not in index_of:
                self.problems.append(
                    f"{where}: there is no class {label!r}.{suggest(label, table.names)}"
                )
        if self.problems:
            raise AnnotationError(
                f"{self._source} cannot be used; {len(self.problems)} fault(s):",
                problems=self.problems,
            )
        return self._number(table, index_of)

    def _choose_table(self, declared: ClassTable | Sequence[str] | None) -> ClassTable:
        if self._options.like is not None:
            return self._options.like.table
        if self._options.table is not None:
            return self._options.table
        if isinstance(declared, ClassTable):
            return declared
        if declared is not None:
            return choose_class_table(declared)
        labels = sorted(label for label, _ in self._first_use.values())
        known = {*map(normalize_name, COMPETITION_TABLE.names), *BACKGROUND_NAMES}
        # A format that does not state its classes names those that happen to be in use.
        return (
            COMPETITION_TABLE if known.issuperset(self._first_use) else choose_class_table(labels)
        )

    def _number(self, table: ClassTable, index_of: dict[str, int]) -> LabelledSet:
        """Give ids: those of the set that this one is like, else class index - 1 and positions."""
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
        taken = set(self._like_ids.values())
        free = (number for number in range(len(self._photos) + len(taken)) if number not in taken)
        photos, annotations, annotation_id = [], {}, 0
        for photo in self._photos.values():
            known_id = self._like_ids.get(tidy_name(photo.file_name))
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
            warnings=tuple(self.warnings),
            index_of_category=indices,
        )


def _unite(members: list[Segmentation]) -> Segmentation:
    """Return several outlines, all of them polygons, as one."""
    if len(members) == 1:
        return members[0]
    return Polygons(
        tuple(p for shape in members if isinstance(shape, Polygons) for p in shape.parts)
    )
