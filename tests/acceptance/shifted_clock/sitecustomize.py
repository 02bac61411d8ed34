"""Shifts the wall clock of a Python process by CLOCK_SHIFT_S; Python imports this by itself where its folder is on PYTHONPATH."""

from __future__ import annotations

import os
import time

_shift_s = int(os.environ["CLOCK_SHIFT_S"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _shift_s
time.time_ns = lambda: _time_ns() + _shift_s * 10**9
