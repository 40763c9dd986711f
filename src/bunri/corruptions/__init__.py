"""Photos made worse on purpose: 15 corruptions that a camera over waste may meet.

They follow Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (2019), without those that do not occur above a sorting belt, in the street or in
a classroom: darkness, glare and dirt on the lens replace snow, frost, elastic and glass. All are
reimplemented, and blurs are symmetric about each pixel, so that masks of the clean photo stay true.
"""

from bunri.corruptions.registry import (
    CORRUPTIONS,
    DEFAULT_SEVERITY,
    NAMES,
    SEVERITIES,
    Corruption,
    check_severity,
    corrupt,
)

__all__ = [
    "CORRUPTIONS",
    "DEFAULT_SEVERITY",
    "NAMES",
    "SEVERITIES",
    "Corruption",
    "check_severity",
    "corrupt",
]
