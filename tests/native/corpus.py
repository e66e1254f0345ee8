"""Read the HTTP corpus of tests/corpus: its bytes and the verdicts it expects. Knows no parser."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Request:
    """One accepted request, as the corpus writes it down and as the runner reports it."""

    method: str = "GET"
    target: str = "/"
    path: str = ""
    query: str | None = None
    form: str = "origin"
    authority: str | None = None
    https: bool = False
    minor: int = 1
    fields: tuple[Pair, ...] = (("Host", "a"),)
    dropped: int = 0
    repeated: bool = False
    expect_continue: bool = False
    upgrade: bool = False
    keep_alive: bool = True
    framing: str = "none"
    body: str = ""


@dataclass(frozen=True)
class Verdict:
    """What is said of a byte string: the requests in it, and how it ends ("", "refused 400 X" ...)."""

    requests: tuple[Request, ...]
    ends: str


@dataclass(frozen=True)
class Limits:
    """Twin of FcLimits, with the defaults of the options."""

    request_line: int = 8190
    field: int = 8190
    head: int = 65536
    fields: int = 100


@dataclass(frozen=True)
class Case:
    """One byte string and its verdict."""

    name: str
    clause: str
    data: bytes
    verdict: Verdict
    limits: Limits = field(default=Limits())


def expand(text: str) -> str:
    """Write out the repetitions: inner angle brackets first, then outer square ones."""
    for pattern in (r"⟨([^⟩]+)\*(\d+)⟩", r"⟦([^⟧]+)\*(\d+)⟧"):
        text = re.sub(pattern, lambda found: found[1] * int(found[2]), text)
    return text


def read_request(table: dict[str, Any]) -> Request:
    """Make a Request of its table, filling in what is not said."""
    texts: dict[str, Any] = {
        key: expand(value) if isinstance(value, str) else value for key, value in table.items()
    }
    pairs = [(name, expand(value)) for name, value in texts.pop("fields", [["Host", "a"]])]
    times, name, value = texts.pop("fields_repeated", (0, "", ""))
    pairs += [(name, value)] * times
    texts.setdefault("path", texts.get("target", "/").partition("?")[0])
    return Request(**texts, fields=tuple(pairs))


def read_ending(table: dict[str, Any]) -> str:
    """Return the one way in which a case ends, as the runner words it."""
    endings = [f"{key} {table[key]}" for key in ("refused", "incomplete", "left") if key in table]
    assert len(endings) <= 1, f"{table['name']}: {endings}"
    return endings[0] if endings else ""


def read_case(table: dict[str, Any]) -> Case:
    """Make a Case of its table."""
    assert table.keys() <= {"name", "clause", "bytes", "limits", "request", "refused", "incomplete", "left"}
    return Case(
        name=table["name"],
        clause=table["clause"],
        data=expand(table["bytes"]).encode("latin-1"),
        verdict=Verdict(tuple(map(read_request, table.get("request", []))), read_ending(table)),
        limits=Limits(**table.get("limits", {})),
    )


def read_corpus() -> dict[str, Case]:
    """Return all cases by "file: name"."""
    cases: dict[str, Case] = {}
    for path in sorted(CORPUS.glob("*.toml")):
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
            key = f"{path.stem}: {table['name']}"
            assert key not in cases, f"{key} is there twice"
            cases[key] = read_case(table)
    return cases


def encode(case: Case, seed: int) -> bytes:
    """Return a case as parser_run reads it; seed says how the bytes arrive."""
    limits = (getattr(case.limits, part.name) for part in fields(case.limits))
    return " ".join(map(str, (len(case.data), *limits, seed))).encode() + b"\n" + case.data


def write_seeds(folder: Path) -> None:
    """Write every case as a seed for the fuzzer: a byte that chooses the usual limits, and its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(read_corpus().values()):
        (folder / f"{number:04}").write_bytes(b"\0" + case.data)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["seeds", folder]:
            write_seeds(Path(folder))
        case ["feed"]:
            sys.stdout.buffer.write(b"".join(encode(case, 0) for case in read_corpus().values()))
        case _:
            raise SystemExit("usage: corpus.py seeds FOLDER | feed")
