"""How long a report waits for its answer before it is sent again: a part of its lease, or as long as the network needs.

Owns what was lately needed. On a network slower than that part of a lease every answer would otherwise come too late, for good.
"""

from __future__ import annotations

LEAST_S = 1.0  # however short the lease
MOST_S = 30.0
LEASE_SHARE = 1 / 3  # leaves time to try again before the lease is over
SLACK = 2.0  # of what was needed before


class AnswerTime:
    """Of one control plane; threads may share it."""

    def __init__(self) -> None:
        self._needed_s = 0.0
        self._has_given_up = False

    @staticmethod
    def least_s(lease_s: float) -> float:
        """What an answer may always take, and a connection at most."""
        return max(LEAST_S, lease_s * LEASE_SHARE)

    def allowed_s(self, lease_s: float) -> float:
        """The time that the next report's answer may take."""
        return min(MOST_S, max(self.least_s(lease_s), SLACK * self._needed_s))

    def answered(self, after_s: float) -> None:
        self._needed_s, self._has_given_up = after_s, False

    def given_up(self, after_s: float) -> None:
        """No answer came in this time. The first time it may be the connection that hangs: another has as long.

        Of a connection that was refused, at once, it tells nothing.
        """
        if self._has_given_up:
            self._needed_s = max(self._needed_s, after_s)
        self._has_given_up = True
