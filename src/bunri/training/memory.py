"""Memory that tensors are in: how it is kept, and how it is known that there is no more.

Owns one setting of the C allocator that makes training on a CPU about a quarter faster. By
default glibc gives every large tensor back to the kernel when it is freed and asks for it again
at the next step; zeroing those pages anew costs more time than some layers do.
"""

import ctypes
import sys

import torch

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


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory has run out, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch has no class for it on the CPU.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
