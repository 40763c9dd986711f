"""Writing, reading and checking the competition's submission.csv.

Owns the format: one row per photo, a 256 x 256 mask as 65,536 integers. Knows nothing of
models, photos or COCO; masks and image ids come from the caller.
"""

from bunri.submission.check import SubmissionCheck, check_submission
from bunri.submission.format import HEADER, SUBMISSION_SIZE_PX, Fault, choose_pixels, shrink_mask
from bunri.submission.stream import read_submission, write_submission

__all__ = [
    "HEADER",
    "SUBMISSION_SIZE_PX",
    "Fault",
    "SubmissionCheck",
    "check_submission",
    "choose_pixels",
    "read_submission",
    "shrink_mask",
    "write_submission",
]
