"""The corpus of requests, replayed against live servers; and many clients who look at every answer."""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from client import Cut
from server import Server
from starter import Starter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))
from corpus import Case, Limits, Request, read_corpus

# -- the corpus --------------------------------

CORPUS = read_corpus()


@pytest.fixture(scope="module")
def by_limits(started: Starter) -> dict[Limits, list[Server]]:
    """Servers already started, by their limits."""
    return defaultdict(list)


def playable(limits: Limits) -> bool:
    """Whether the options allow these limits (those of a few bytes are for the parser alone)."""
    return limits.request_line >= 64 and limits.field >= 64 and limits.head >= 256 and limits.fields <= 256


def reported(request: Request) -> list[str]:
    """What /saw reports of a request of the corpus."""
    from urllib.parse import unquote_to_bytes

    path = unquote_to_bytes(request.path.encode("latin-1")).decode("latin-1")
    return [request.method, path or "/", request.query or "", request.body]


def replay(server: Server, case: Case, pieces: list[bytes]) -> tuple[list[list[str]], int | None]:
    """Send a case and the end; what the application saw, and the status of the refusal behind it."""
    seen = []
    with server.client() as client:
        for piece in pieces:
            try:
                client.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
        with suppress(OSError):
            client.half_close()
        for request in case.verdict.requests:
            if case.verdict.ends.startswith("incomplete body") and request is case.verdict.requests[-1]:
                break
            if (
                case.verdict.ends.startswith("refused")
                and refused_in_body(case)
                and request is case.verdict.requests[-1]
            ):
                break
            answer = client.answer(request.method)
            assert 200 == answer.status, (answer.status, request)
            if request.method != "HEAD":
                seen.append(json.loads(answer.body))
        status = None
        if case.verdict.ends.startswith("refused"):
            method = "HEAD" if case.data.rpartition(b"\r\n\r\n")[0].endswith(b"HEAD") else "GET"
            answer = client.answer(method)
            assert "close" == answer.one("Connection")
            status = answer.status
        assert client.ended()
    return seen, status


def refused_in_body(case: Case) -> bool:
    """Whether what is refused is the body of the last request that the corpus lists."""
    return any(word in case.verdict.ends for word in ("BAD_CHUNK", "BAD_TRAILER", "BODY"))


@pytest.mark.parametrize(
    "limits", sorted({case.limits for case in CORPUS.values() if playable(case.limits)}, key=repr)
)
@pytest.mark.parametrize("split", ["whole", "halves"])
def test_the_corpus_is_judged_as_written(
    started: Starter, limits: Limits, split: str, by_limits: dict[Limits, list[Server]]
) -> None:
    """Refused cases get their status and the end; accepted ones reach the application as themselves."""
    if not by_limits[limits]:
        options = [
            f"--limit-{name.replace('_', '-')}={getattr(limits, name)}"
            for name in ("request_line", "field", "head", "fields")
        ]
        by_limits[limits].append(started("wsgi_cases:saw", "--limit-body=0", *options))
    server = by_limits[limits][0]
    wrong = []
    for name, case in CORPUS.items():
        if case.limits != limits:
            continue
        half = len(case.data) // 2
        pieces = [case.data] if split == "whole" else [case.data[:half], case.data[half:]]
        expected = [reported(request) for request in case.verdict.requests if request.method != "HEAD"]
        if case.verdict.ends.startswith("incomplete body") or refused_in_body(case):
            expected = expected[:-1]
        status = int(case.verdict.ends.split()[1]) if case.verdict.ends.startswith("refused") else None
        try:
            result = replay(server, case, pieces)
        except (AssertionError, Cut, TimeoutError) as error:
            wrong.append(f"{name}: {type(error).__name__} {error}")
            continue
        if (expected, status) != result:
            wrong.append(f"{name}: expected {(expected, status)}, got {result}")
    assert not wrong, "\n".join(wrong)


# -- load --------------------------------


@pytest.fixture(scope="module")
def two_workers(started: Starter) -> Server:
    """Two workers."""
    return started("wsgi_cases:application", "-i2")


def test_every_answer_under_load_is_the_right_one(two_workers: Server) -> None:
    """Eight clients on kept connections, all kinds of answers: each gets its own, and nothing else."""
    faults: list[str] = []

    def drive(who: int) -> None:
        try:
            with two_workers.client() as client:
                for number in range(150):
                    token = f"{who}-{number}"
                    body = token.encode() * (1 + number % 400)
                    if client.post("/echo", body).body != body:
                        faults.append(f"{token}: another body")
                    if json.loads(client.get(f"/saw/{token}").body)[1] != f"/saw/{token}":
                        faults.append(f"{token}: another path")
        except (AssertionError, Cut, OSError) as error:
            faults.append(f"{who}: {error!r}")

    threads = [threading.Thread(target=drive, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == faults


def test_many_short_connections_are_all_served(two_workers: Server) -> None:
    """Connect, ask, be answered, end: three hundred times over four threads."""
    statuses: list[int] = []

    def drive() -> None:
        for _ in range(75):
            with two_workers.client() as client:
                statuses.append(client.get("/ignore", "Connection: close").status)
                assert client.ended()

    threads = [threading.Thread(target=drive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [200] * 300 == statuses
