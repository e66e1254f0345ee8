"""What the start screen is told: gathers the facts of a cluster that has become ready, and
prints it."""

import os
import sys

from forkcluster import __version__
from forkcluster.master.screen import Facts, render, render_json
from forkcluster.options import cpus
from forkcluster.options.frozen import Options
from forkcluster.wire.orders import LoadReport

COLOURLESS = ("NO_COLOR",)


def screen(
    options: Options,
    report: LoadReport,
    urls: tuple[str, ...],
    *,
    workers: int,
    seconds: float,
    admin: str | None,
) -> str:
    """Give the start screen as this standard output should show it: coloured, plain, or one JSON line."""
    facts = Facts(
        version=__version__,
        name=options.name,
        target=options.target,
        interface=report.interface.upper(),
        interface_reason=report.decided,
        urls=urls,
        workers=workers,
        workers_words=cpus.workers(options.instances, cpus.observe()).words,
        threads=options.threads if report.interface == "wsgi" else 0,
        preload=_preload(options.preload, report),
        python=sys.version.split()[0],
        pid=os.getpid(),
        seconds=seconds,
        pid_file=options.pid,
        admin=admin,
    )
    if options.log_format == "json":
        return render_json(facts)
    return render(facts, colour=_coloured())


def fork_screen(
    options: Options, urls: tuple[str, ...], processes: int, seconds: float, admin: str | None
) -> str:
    """Give the start screen of an app in fork mode."""
    facts = Facts(
        version=__version__,
        name=options.name,
        target=" ".join((options.target, *options.args)),
        interface="",
        interface_reason="",
        urls=urls,
        workers=processes,
        workers_words=cpus.workers(options.instances, cpus.observe()).words,
        threads=0,
        preload="",
        python="",
        pid=os.getpid(),
        seconds=seconds,
        pid_file=options.pid,
        admin=admin,
    )
    if options.log_format == "json":
        return render_json(facts)
    return render(facts, colour=_coloured())


def show(text: str) -> None:
    """Print to standard output; a terminal that went away is nobody's fault."""
    try:
        os.write(1, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def _preload(wanted: str, report: LoadReport) -> str:
    if wanted == "never":
        return "no, as asked for: every worker imports the application"
    if report.reasons and wanted == "auto":
        return f"no: {'; '.join(report.reasons)}; every worker imports the application"
    if report.reasons:
        return f"yes, as asked for, though not safe: {'; '.join(report.reasons)}"
    return "loaded once, workers forked from it"


def _coloured() -> bool:
    try:
        return os.isatty(1) and not any(os.environ.get(name) for name in COLOURLESS)
    except OSError:
        return False
