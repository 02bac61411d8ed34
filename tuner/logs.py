"""Structured logs: one JSON object a line on stderr, times in UTC."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict


def configure(process: str, **about: str) -> None:
    """Sets up logging for this process; other libraries' warnings go the same way.

    Args:
        process: its name, on every line.
        about: what else stands on every line.
    """

    def name(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {"process": process, **about, **event}  # not as context variables, which threads do not inherit

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            name,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
