"""Writing, reading, checking and voting on the competition's submission.csv.

The file has one row per photo: its id and a 256 x 256 mask as 65,536 integers.
"""

from bunri.submission.align import align_submissions
from bunri.submission.check import SubmissionCheck, check_submission
from bunri.submission.difference import PhotoDifference, SubmissionDifference, compare_submissions
from bunri.submission.format import HEADER, SUBMISSION_SIZE_PX, Fault, choose_pixels, shrink_mask
from bunri.submission.stream import read_submission, write_submission
from bunri.submission.vote import (
    complete_priority,
    parse_priority,
    parse_weights,
    vote_masks,
    vote_submissions,
)

__all__ = [
    "HEADER",
    "SUBMISSION_SIZE_PX",
    "Fault",
    "PhotoDifference",
    "SubmissionCheck",
    "SubmissionDifference",
    "align_submissions",
    "check_submission",
    "choose_pixels",
    "compare_submissions",
    "complete_priority",
    "parse_priority",
    "parse_weights",
    "read_submission",
    "shrink_mask",
    "vote_masks",
    "vote_submissions",
    "write_submission",
]
