"""A fault of our own, where it must not end the master and with it an app that serves."""

from forkcluster import log
from forkcluster.errors import InternalError


def report_internal(what: str, error: Exception) -> InternalError:
    """Log it with its traceback; give what is answered."""
    import traceback

    text = "".join(traceback.format_exception(error)).rstrip()
    log.error(f"{what} failed: please report this\n{text}")
    return InternalError(f"{what} failed: {error!r}", "please report what the master's log says")
