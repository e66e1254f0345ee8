"""Where the lines of an app go, by its options and its place: what the master tells the logger, and where the
manager looks.
"""

from forkcluster.options.dates import strftime_format
from forkcluster.options.frozen import Options
from forkcluster.wire.capture import LogOrder
from forkcluster.wire.home import AppPlace

NOWHERE = ("NULL", "/dev/null", "off")
DATES = "%Y-%m-%dT%H:%M:%S"  # --time, as PM2 writes it


def order_of(options: Options, place: AppPlace, *, managed: bool) -> LogOrder:
    """Say where lines go and how. Files of --user's choice are written as that user, ours as ourselves."""
    out = _path(options.out_file, place.output if managed else "-", options)
    error = _path(options.error_file, place.error if managed else "-", options)
    theirs = bool(options.out_file and options.error_file)
    return LogOrder(
        options.name,
        out,
        error,
        apart=not options.merge_logs,
        kind=options.log_type,
        date_format=DATES if options.time else strftime_format(options.log_date_format or ""),
        size=options.log_rotate_size,
        keep=options.log_rotate_keep,
        compress=options.log_compress,
        user=options.user if theirs else None,
        group=options.group if theirs else None,
    )


def _path(asked: str | None, default: str, options: Options) -> str:
    return "" if options.disable_logs or asked in NOWHERE else asked or default
