"""Runs a module of ours in this process under limits: `python -m tuner.limited MEMORY_BYTES CPU_S MODULE ARGUMENT…`.

Owns the limits, which are set before the module and its libraries are imported, so nothing of it runs without them, and
the exit code that says that memory did not suffice.
"""

from __future__ import annotations

import resource
import runpy
import sys

LARGEST_FILE_BYTES = 16 * 2**20  # that it may write, its answer included
OUT_OF_MEMORY = 75  # its exit code then


def main() -> None:
    """Sets the limits, then becomes the module."""
    memory_bytes, cpu_s = int(sys.argv[1]), int(sys.argv[2])
    if sys.platform != "darwin":  # macOS has the constant and refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # at the first it is told apart from other deaths
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = sys.argv[3:]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
