"""Runs a module of ours in this process under limits: `python -m tuner.limited MEMORY_BYTES CPU_S MODULE ARGUMENT…`.

Owns the limits, which are set before the module and its libraries are imported, so nothing of it runs without them.
"""

from __future__ import annotations

import resource
import runpy
import sys


def main() -> None:
    """Sets the limits, then becomes the module."""
    memory_bytes, cpu_s = int(sys.argv[1]), int(sys.argv[2])
    if sys.platform != "darwin":  # macOS has the constant and refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = sys.argv[3:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
