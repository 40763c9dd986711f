"""List of all checks: name, severity, effect of the fault, advice and repair."""

from dataclasses import dataclass
from typing import Literal

from bunri.core.contracts import (
    MAX_COORDINATE_PX,
    MAX_OUTLINE_PX,
    MAX_PHOTO_BYTES,
    MAX_PHOTO_PIXELS,
)
from bunri.labels.rasterize import MIN_POLYGON_POINTS

Severity = Literal["error", "warning", "info"]
Need = Literal["json", "headers", "pixels", "against", "against-pixels", "model"]
"""Source that a check needs: the JSON, the photos' headers, their pixels, another split, ..."""

FRAME_TOLERANCE_PX = 1.0
"""A point this far outside of the photo is rounding, not a fault."""
TINY_AREA_PX = 16
SLIVER_THICKNESS_PX = 1.5
SLIVER_LENGTH_PX = 12
RARE_PHOTOS = 5
"""A class in fewer photos than this cannot be in every one of five folds."""


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of fault.

    Attributes:
        severity: "error" stops bunri or makes a score untrue, "warning" costs quality, "info"
            is worth knowing.
        need: Source that the check needs.
        repair: Repair by ``--fix``; empty where only a person can decide.
    """

    name: str
    severity: Severity
    need: Need
    title: str
    effect: str
    advice: str
    repair: str = ""


_CANNOT_TRAIN = "bunri refuses the file; other tools crash in the middle of an epoch."
_DROPPED = "drops the object"
_PHOTO_DROPPED = "drops the photo and its objects"
_REDRAWN = "stores the drawn pixels as a new outline; the mask stays the same"

CHECKS: tuple[Check, ...] = (
    # --- structure ------------------------------------------------------------------------
    Check("missing-key", "error", "json", "A required key is missing.", _CANNOT_TRAIN,
          "Add the key, or export the file again.", "drops the row"),
    Check("wrong-type", "error", "json", "A value has the wrong type.", _CANNOT_TRAIN,
          "Correct the value, or export the file again.", "drops the row"),
    Check("missing-optional-key", "info", "json", "'area', 'bbox' or 'iscrowd' is missing.",
          "bunri does without them; pycocotools' evaluation and many loaders do not.",
          "Fill them in.", "fills them in from the drawn object"),
    Check("duplicate-image-id", "error", "json", "An image id is used more than once.",
          "Objects are drawn into the wrong photo, without a word.",
          "Give each image its own id, and its objects with it."),
    Check("duplicate-annotation-id", "error", "json", "An annotation id is used more than once.",
          "COCO's index keeps one of them; the other object vanishes.",
          "Give each annotation its own id.", "numbers all annotations anew"),
    Check("duplicate-category-id", "error", "json", "A category id is used more than once.",
          "One class is learned as the other.", "Give each category its own id."),
    Check("duplicate-category-name", "error", "json",
          "A category name is used more than once, case aside.",
          "One class is split over two mask values; its IoU can never be good.",
          "Merge the categories."),
    Check("duplicate-file-name", "error", "json", "A file is listed under several image ids.",
          "Each entry sees only a part of the objects; the rest is learned as background.",
          "Merge the entries.", "gives all objects to the first entry"),
    Check("dangling-image", "error", "json", "An object refers to an image that is not listed.",
          "COCO's index drops it silently.", "Add the image, or delete the object.", _DROPPED),
    Check("dangling-category", "error", "json",
          "An object refers to a category that is not listed.",
          _CANNOT_TRAIN, "Add the category, or delete the object.", _DROPPED),
    Check("bad-path", "error", "json", "A file name is absolute or leaves the image folder.",
          "Photos are found on the annotator's machine only.",
          "Make it relative to the image folder."),
    Check("frame-too-large", "error", "json",
          f"The stated size has more than {MAX_PHOTO_PIXELS:,} pixels.",
          "A mask of that size does not fit into memory.", "Correct 'width' and 'height'."),
    Check("ids-not-positions", "warning", "json",
          "Image ids are not their positions in the list.",
          "bunri goes by id; the competition's notebooks call getImgIds(imgIds=index) and read "
          "the wrong photo.", "Number the images 0, 1, 2, ...", "numbers images and their objects"),
    Check("renamed-category", "warning", "json",
          "A category looks like one of the competition's, spelled otherwise.",
          "The file gets a class table of its own; a competition model does not fit it.",
          "Spell it as the competition does.", "renames the category"),
    Check("unknown-category", "warning", "json",
          "A category is none of the competition's, though most of the others are.",
          "The file gets a class table of its own; a competition model does not fit it.",
          "Map it to one of the 12 classes, or keep it and train on this table."),
    Check("renumbered-categories", "warning", "json",
          "The competition's categories carry other ids than in its files.",
          "bunri goes by name; code that computes the mask value from the id learns every "
          "class under another's name.", "Give them the usual ids.", "restores the usual ids"),
    Check("category-cycle", "info", "json", "Supercategories lead back to where they started.",
          "bunri ignores them; a tool that walks up the tree never ends.",
          "Cut the cycle.", "removes the supercategories in it"),
    Check("no-categories", "error", "json", "Objects are there, but the category list is empty.",
          _CANNOT_TRAIN, "Add the categories."),
    # --- outlines -------------------------------------------------------------------------
    Check("bad-polygon", "error", "json", "A polygon is not a flat list x0, y0, x1, y1, ...",
          _CANNOT_TRAIN, "Draw the object again.", _DROPPED),
    Check("not-finite", "error", "json", "A coordinate is NaN or infinite.",
          "Rasterising gives arbitrary pixels.", "Draw the object again.", _DROPPED),
    Check("far-coordinate", "error", "json",
          f"A coordinate is more than {MAX_COORDINATE_PX:,.0f} pixels away.",
          "Rasterising needs memory without bound.", "Draw the object again.", _DROPPED),
    Check("huge-outline", "error", "json",
          f"An outline is longer than {MAX_OUTLINE_PX:,.0f} pixels.",
          "Rasterising needs memory without bound.", "Draw the object again.", _DROPPED),
    Check("wrong-rle-size", "error", "json", "Run lengths are of another size than the photo.",
          "The object lands in the wrong place, or the loader crashes.",
          "Export the object again.", _DROPPED),
    Check("bad-rle", "error", "json", "Run lengths are damaged or do not cover the photo.",
          "pycocotools writes outside of its memory.", "Export the object again.", _DROPPED),
    Check("too-few-points", "warning", "json",
          f"A polygon has fewer than {MIN_POLYGON_POINTS} points.",
          "It draws nothing (pycocotools reads 4 numbers as a box).",
          "Delete the polygon or draw it again.", "drops the polygon"),
    Check("empty-segmentation", "warning", "json", "An object has no outline.",
          "It draws nothing; it was perhaps meant for detection only.",
          "Draw its outline.", _DROPPED),
    Check("out-of-frame", "warning", "json", "An outline leaves the photo.",
          "What lies outside is cut off; often a sign of a photo that was resized or turned "
          "after it was labelled.", "Look whether the object still fits the photo.", _REDRAWN),
    Check("zero-area", "warning", "json", "An object covers no pixel.",
          "Counted, but never learned.", "Delete it or draw it again.", _DROPPED),
    Check("self-crossing", "warning", "json", "An outline crosses itself.",
          "Tools disagree on what is inside, so masks differ between them.",
          "Draw the outline again.", _REDRAWN),
    Check("sliver", "info", "json",
          f"An object is thinner than {SLIVER_THICKNESS_PX} pixels on average.",
          "Mostly a slip of the hand; it teaches noise and vanishes at smaller sizes.",
          "Look at it; delete it if it is none."),
    Check("tiny-object", "info", "json", f"An object has fewer than {TINY_AREA_PX} pixels.",
          "Too small to be learned; under the per-image mIoU it weighs as much as a large one.",
          "Look at it; delete it if it is noise."),
    Check("area-mismatch", "warning", "json", "'area' disagrees with the drawn pixels.",
          "Code that paints by 'area' puts the wrong object on top.",
          "Compute it from the outline.", "computes it from the drawn object"),
    Check("bbox-mismatch", "warning", "json", "'bbox' disagrees with the drawn pixels.",
          "Crops and copy-paste cut the wrong piece.",
          "Compute it from the outline.", "computes it from the drawn object"),
    Check("duplicate-annotation", "warning", "json", "The same object is listed twice.",
          "Objects are counted twice; sampling by count is off.", "Delete one of them.",
          "drops the later one"),
    Check("crowd-object", "info", "json", "An object is marked 'iscrowd'.",
          "bunri draws it like any other; COCO's evaluation leaves such regions out.",
          "Nothing, if the whole region is of that material."),
    Check("overlap", "info", "json", "Objects of different classes claim the same pixels.",
          "The overlap rule decides what these pixels are.",
          "Train and score with one rule: --overlap-rule."),
    Check("overlap-rule-matters", "warning", "json",
          "The overlap rules give this photo different masks.",
          "Scores of people who use another rule cannot be compared with yours.",
          "Look at the photo; state the rule with every score."),
    Check("unlabelled-photo", "warning", "json", "A photo has no objects.",
          "Everything in it is learned as background.",
          "Label it, or leave it out if it shows waste."),
    Check("no-labels", "info", "json", "The file has no annotations.",
          "It can be predicted, not trained or scored on.", "Nothing, for a test set."),
    Check("rare-class", "info", "json", f"A class is in fewer than {RARE_PHOTOS} photos.",
          "Its IoU is luck: one photo more or less moves it by tens of points.",
          "Collect more; state the number of photos beside its score."),
    # --- photos ---------------------------------------------------------------------------
    Check("photo-missing", "error", "headers", "A photo is not on disk.",
          _CANNOT_TRAIN, "Name the folder with --images, or get the photo.", _PHOTO_DROPPED),
    Check("photo-unreadable", "error", "headers", "A photo cannot be opened.",
          _CANNOT_TRAIN, "Get the photo again.", _PHOTO_DROPPED),
    Check("photo-unsupported", "error", "headers", "A file is of a type that bunri does not read.",
          _CANNOT_TRAIN, "Convert it to JPEG, PNG or WebP.", _PHOTO_DROPPED),
    Check("photo-oversized", "error", "headers",
          f"A photo has over {MAX_PHOTO_BYTES // 2**20} MiB or {MAX_PHOTO_PIXELS:,} pixels.",
          "It is refused before it fills the memory.", "Shrink it.", _PHOTO_DROPPED),
    Check("photo-size-mismatch", "error", "headers",
          "A photo has another size than the JSON states.",
          "Masks do not lie on the objects.",
          "Find out which is right: the outlines were drawn on one of the two.",
          "states the photo's size, where the outlines fit into it"),
    Check("photo-exif-conflict", "error", "headers",
          "The JSON states the size before the camera's rotation was applied.",
          "Masks lie across the upright photo.",
          "Turn the pixels and remove the EXIF orientation, or the outlines."),
    Check("photo-exif-rotated", "warning", "headers", "A photo carries an EXIF rotation.",
          "bunri turns it upright; OpenCV and Pillow without care do not.",
          "Look whether the outlines fit the upright photo; then store it upright."),
    Check("photo-wrong-type", "warning", "headers", "A file is not what its ending says.",
          "bunri goes by content; tools that go by the ending fail.", "Rename or convert it."),
    Check("photo-16-bit", "warning", "headers", "A photo has 16 bits a channel.",
          "It is reduced to 8; other tools clip it to white.", "Convert it to 8 bits."),
    Check("photo-cmyk", "warning", "headers", "A photo is CMYK, made for print.",
          "Colours depend on the decoder.", "Convert it to RGB."),
    Check("photo-alpha", "warning", "headers", "A photo has transparency.",
          "bunri lays it on white; others on black.", "Flatten it."),
    Check("photo-animated", "warning", "headers", "A file holds several pictures.",
          "The first one is taken.", "Keep the one that was labelled."),
    Check("photo-grey", "info", "headers", "A photo is greyscale.",
          "It is read as grey RGB; a network that leans on colour errs.", "Nothing, if meant."),
    Check("photo-truncated", "error", "pixels", "A photo is cut off or damaged.",
          "Decoders fail, or fill the rest with grey.", "Get the photo again.", _PHOTO_DROPPED),
    Check("duplicate-photo", "warning", "pixels", "Two photos have the same pixels and labels.",
          "It counts twice; across folds it leaks.", "Keep one.", "drops the later one"),
    Check("near-duplicate-photo", "warning", "pixels",
          "Two photos are copies but for size, flips, crops, brightness or compression.",
          "Across folds it leaks; bunri split keeps them together.",
          "Keep one, or split by group."),
    Check("conflicting-labels", "error", "pixels", "The same photo is there with different labels.",
          "One of the two is learned wrong; no model can satisfy both.", "Decide on one."),
    # --- against another file -------------------------------------------------------------
    Check("shared-file-name", "error", "against", "A file name is in both files.",
          "The score is on photos that were trained on.", "Remove it from one of them.",
          "drops it here"),
    Check("categories-differ", "error", "against",
          "A category's name or id differs between the two files.",
          "Trained and scored on different classes.", "Use the same categories in both."),
    Check("class-absent", "warning", "against", "A class has objects in one file only.",
          "It cannot be learned, or not be scored.", "Split again with bunri split."),
    Check("leaked-photo", "error", "against-pixels", "The same photo is in both files.",
          "The score is on photos that were trained on.", "Remove it from one of them.",
          "drops it here"),
    Check("near-leaked-photo", "error", "against-pixels",
          "A copy of a photo, changed a little, is in both files.",
          "The score is on photos that were as good as trained on.",
          "Remove it from one of them.", "drops it here"),
    # --- with a model ---------------------------------------------------------------------
    Check("suspicious-label", "warning", "model",
          "A model gives an object to another class, though it usually knows the labelled one.",
          "Wrong labels are learned too.", "Look at it, and correct the label if it is wrong."),
)  # fmt: skip

CHECK_OF: dict[str, Check] = {check.name: check for check in CHECKS}
