"""What a person reads when the app is up. Pure: facts in, text out."""

import json
from typing import Final

from forkcluster.dataclass import asdict, dataclass

BOLD: Final = "\033[1m"
DIM: Final = "\033[2m"
GREEN: Final = "\033[32m"
CYAN: Final = "\033[36m"
RESET: Final = "\033[0m"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so when the first workers are ready. Every text is for people; "" leaves a line's part out."""

    version: str  # forkcluster's
    name: str
    target: str
    interface: str  # WSGI, ASGI; "" for a command of fork mode
    interface_reason: str  # "a function of two arguments"
    urls: tuple[str, ...]
    workers: int
    workers_words: str  # "2 of 2 CPUs", or ""
    threads: int  # of each worker that may be in the application at once; 0: it is none of that kind
    preload: str  # "loaded once, workers forked from it", or why not
    python: str  # "3.13.0"
    pid: int
    seconds: float  # from start to ready
    pid_file: str | None = None
    admin: str | None = None  # where metrics and health are


def render(facts: Facts, colour: bool) -> str:
    """The start screen, LF-ended; with ANSI colours if `colour`."""
    paint = _painted if colour else _plain
    tail = paint(DIM, f"in {facts.seconds:.1f} s · forkcluster {facts.version}")
    lines = [f"{paint(GREEN, '●')} {paint(BOLD, facts.name)} is up {tail}", ""]
    for label, texts in _rows(facts):
        for word, text in zip([label, *[""] * len(texts)], texts, strict=False):
            lines.append(
                f"  {paint(DIM, f'{word:<10}')}{paint(CYAN, text) if label == 'listening' else text}"
            )
    return "\n".join([*lines, ""]) + "\n"


def render_json(facts: Facts) -> str:
    """The same as one JSON object in one line, for --log-format json."""
    return json.dumps({"event": "ready", **asdict(facts)}, ensure_ascii=False) + "\n"


def _rows(facts: Facts) -> list[tuple[str, list[str]]]:
    hup = f"kill -HUP $(cat {facts.pid_file})" if facts.pid_file else f"kill -HUP {facts.pid}"
    what, whose = ("serving", "workers") if facts.interface else ("running", "processes")
    rows = [
        ("listening", list(facts.urls)),
        (what, [_with(facts.target, facts.interface, facts.interface_reason)]),
        (whose, [_with(str(facts.workers), facts.workers_words) + _threads(facts.threads)]),
        ("preload", [facts.preload]),
        ("python", [facts.python]),
        ("pid", [str(facts.pid)]),
        *([("admin", [facts.admin])] if facts.admin else []),
        ("reload", [hup]),
        ("stop", [f"Ctrl-C, or kill {facts.pid}"]),
    ]
    return [(label, texts) for label, texts in rows if any(texts)]


def _threads(threads: int) -> str:
    return f", {threads} thread{'s' * (threads > 1)} each" if threads else ""


def _with(text: str, *rest: str) -> str:
    """`text (a, b)`, without what is empty."""
    words = ", ".join(word for word in rest if word)
    return f"{text} ({words})" if words else text


def _painted(code: str, text: str) -> str:
    return f"{code}{text}{RESET}"


def _plain(_code: str, text: str) -> str:
    return text
