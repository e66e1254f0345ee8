"""The parser against the HTTP corpus, however the bytes arrive."""

from __future__ import annotations

import re
import subprocess
import zlib
from collections import Counter
from pathlib import Path

import pytest
from field_hash import CSRC, read_names, render

from corpus import Request, Verdict, encode, read_corpus

CASES = read_corpus()
METHODS = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
WHOLE, BYTEWISE = 0, 1
RANDOM_RUNS = 4
OF_THE_CONNECTION = {"OK", "BODY_TOO_LARGE", "TIMEOUT", "STORAGE", "CUT_SHORT"}
TEXTS = ("method", "target", "path", "query", "authority", "body")

Verdicts = dict[tuple[str, int], Verdict]


def seeds(key: str) -> list[int]:
    """Return the ways in which a case arrives: whole, byte by byte, and in random pieces."""
    base = zlib.crc32(key.encode())
    return [WHOLE, BYTEWISE, *(base + 2 + run for run in range(RANDOM_RUNS))]


def text_of(hexadecimal: str) -> str:
    return bytes.fromhex(hexadecimal).decode("latin-1")


def parse_request(line: str) -> Request:
    """Read one "request" line of the runner."""
    said = dict(part.split("=", 1) for part in line.split()[1:])
    pairs = [pair.split(":") for pair in said["fields"].split(",")[:-1]]
    texts = {name: text_of(said[name]) for name in TEXTS if name in said}
    flags = ("https", "keep_alive", "expect_continue", "upgrade", "repeated")
    length = "none" if said["length"] == "-1" else said["length"]
    assert METHODS[int(said["id"])] == (texts["method"] if texts["method"] in METHODS else "")
    return Request(
        **texts,
        **{flag: said[flag] == "1" for flag in flags},
        minor=int(said["minor"]),
        form=said["form"],
        dropped=int(said["dropped"]),
        framing="chunked" if said["chunked"] == "1" else length,
        fields=tuple((text_of(name), text_of(value)) for name, value in pairs),
    )


def parse_ending(line: str) -> str:
    """Put the runner's last line in the words of the corpus."""
    words = line.split()
    if words[0] == "refused":
        return f"refused {words[2]} {words[1]}"
    return f"left {words[1]}" if words[0] == "closed" else line


def parse_verdict(text: str) -> Verdict:
    """Read what the runner says of one case."""
    lines = text.splitlines()
    requests = tuple(parse_request(line) for line in lines if line.startswith("request "))
    endings = [parse_ending(line) for line in lines if not line.startswith("request ")]
    return Verdict(requests, *(endings or [""]))


def read_errors() -> list[tuple[str, str]]:
    """Return (name, status in its comment) of FcHttpError, in the order of the enumeration."""
    text = (CSRC / "parser.h").read_text(encoding="utf-8")
    body = text.partition("typedef enum FcHttpError {")[2].partition("}")[0]
    found = re.findall(r"FC_HTTP_(\w+),(?: */\* (\d{3}))?", body)
    return [(name, status or "200") for name, status in found]


@pytest.fixture(scope="module")
def verdicts(parser_run: Path) -> Verdicts:
    """Run every case in every way in one process."""
    order = [(key, seed) for key in CASES for seed in seeds(key)]
    feed = b"".join(encode(CASES[key], seed) for key, seed in order)
    run = subprocess.run([str(parser_run)], input=feed, capture_output=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr.decode()
    texts = run.stdout.decode().split("end\n")[:-1]
    return {at: parse_verdict(text) for at, text in zip(order, texts, strict=True)}


@pytest.mark.parametrize("key", CASES)
def test_verdict_is_the_one_of_the_corpus_however_the_bytes_arrive(key: str, verdicts: Verdicts) -> None:
    """Each case gets its verdict whole, byte by byte and in random pieces."""
    expected = dict.fromkeys(seeds(key), CASES[key].verdict)
    assert expected == {seed: verdicts[key, seed] for seed in seeds(key)}


def test_corpus_is_broad() -> None:
    """There are at least 200 cases, and no clause has more than five."""
    clauses = Counter(case.clause for case in CASES.values())
    assert len(CASES) >= 200
    crowded = [clause for clause, count in clauses.items() if count > 5]
    assert not crowded


def test_every_refusal_has_the_status_that_its_declaration_names(parser_run: Path) -> None:
    """fc_http_status() is what the comments of parser.h say, and each refusal has a reason of its own."""
    errors = read_errors()
    run = subprocess.run(
        [str(parser_run), "refusals", str(len(errors))], capture_output=True, check=True, text=True
    )
    lines = [line.partition(" ") for line in run.stdout.splitlines()]
    assert [int(status) for _, status in errors] == [int(status) for status, _, _ in lines]
    assert len(errors) == len({reason for _, _, reason in lines} - {"unknown refusal"})


def test_every_refusal_of_the_parser_is_in_the_corpus() -> None:
    """Each FC_HTTP error but those that only a connection raises is reached by some case."""
    errors = {name for name, _ in read_errors()} - OF_THE_CONNECTION
    reached = {
        case.verdict.ends.split()[2] for case in CASES.values() if case.verdict.ends.startswith("refused")
    }
    assert errors == reached


def test_known_field_names_are_found_in_any_case_and_no_others(parser_run: Path) -> None:
    """Every name of the list is found in three spellings; changed in any one byte it is unknown."""
    run = subprocess.run([str(parser_run), "names"], capture_output=True, check=True, text=True)
    expected = [f"{name} {n} {n} {n} {n} 0" for n, (_, name) in enumerate(read_names(), start=1)]
    assert expected == run.stdout.splitlines()


def test_field_hash_is_the_one_that_the_list_gives() -> None:
    """csrc/field_hash.h is what field_hash.py makes of the list in csrc/parser.h."""
    assert render() == (CSRC / "field_hash.h").read_text(encoding="utf-8")
