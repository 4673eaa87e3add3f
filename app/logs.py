"""Structured logs: one JSON object a line, in UTC, from us and from every library.

What an exception says may hold a name, a vector or a key, so only its type and where it came
from are written. Nothing else about a request but what the door writes down.
"""

import logging
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from structlog.types import EventDict, Processor


def configure(level: str) -> None:
    """Send structlog and the standard library's logging to standard error, as JSON."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _where_not_what,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_first_line, *shared, structlog.stdlib.add_logger_name],
            processor=structlog.processors.JSONRenderer(),
        )
    )
    logging.raiseExceptions = False  # a line that cannot be written would be printed with its words
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # uvicorn's access lines hold paths and queries; the door writes better ones.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"


def thread_failed(given: threading.ExceptHookArgs) -> None:
    """For `threading.excepthook`, whose own would print a traceback."""
    structlog.get_logger().error("thread.failed", exc_info=given.exc_value)


def _first_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """asyncio says in its further lines which task failed, and with what."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _where_not_what(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and the places it went through."""
    info = event.pop("exc_info", None)
    error = sys.exception() if info is True else info
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["where"] = _places(error.__traceback__)
        if error.__cause__ is not None:
            event["cause"] = type(error.__cause__).__name__
    return event


def _places(trace: TracebackType | None) -> list[str]:
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(trace)[-8:]
    ]
