"""How many wrong keys one address may show: a bucket of tokens for each, in this process's memory.

Owns the buckets; the one longest unused makes room for another. Whoever shows the right key is never asked here.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

MAX_ADDRESSES = 10_000
PER_MINUTE = 10
BURST = 20


class Throttle:
    """One token a wrong key.

    Args:
        per_minute: tokens that an address gets back.
        burst: tokens that it has at first, and at most.
        now_s: a clock that does not jump.
    """

    def __init__(
        self, per_minute: int = PER_MINUTE, burst: int = BURST, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_minute / 60
        self._burst = burst
        self._now_s = now_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: tokens, and when

    def take(self, address: str) -> float:
        """Takes a token of the address's bucket; gives 0, or the seconds until there is one again."""
        whose = _whose(address)
        now_s = self._now_s()
        tokens, at_s = self._buckets.pop(whose, (float(self._burst), now_s))
        tokens = min(self._burst, tokens + (now_s - at_s) * self._per_s)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self._per_s
        self._buckets[whose] = (tokens if wait_s else tokens - 1, now_s)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait_s


def _whose(address: str) -> str:
    """One bucket for a whole network of IPv6: whoever has one address of it has them all."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a socket without addresses
    if not isinstance(known, IPv6Address):
        return address
    return str(known.ipv4_mapped or known.packed[:8].hex())
