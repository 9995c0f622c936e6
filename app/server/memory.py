"""How glibc's malloc deals with chunks of uploads and files: a few hundred KiB each, made and freed all the time."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_… in malloc.h
_KEPT_BYTES = 2_097_152
_MAPPED_BYTES = 1_048_576  # larger than any chunk


def keep_freed_memory() -> None:
    """Keeps up to 2 MiB of what is freed. By default, each large chunk is given back to the kernel at once, and the
    next one is made of fresh pages: some 250 page faults for each megabyte of an upload. Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES)
