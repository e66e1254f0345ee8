"""Make csrc/field_hash.h: a perfect hash over the field names of csrc/parser.h.

Run it after a change of FC_FIELD_LIST: `python tests/native/field_hash.py > csrc/field_hash.h`. The search is
seeded, so that the same list gives the same file; a test compares the two.
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

CSRC = Path(__file__).resolve().parents[2] / "csrc"
Multipliers = tuple[int, int, int, int]


def read_names() -> list[tuple[str, str]]:
    """Return (C identifier, name) in the order of the list."""
    text = (CSRC / "parser.h").read_text(encoding="utf-8")
    names = re.findall(r'X\(([A-Z0-9_]+), "([a-z0-9-]+)"\)', text)
    assert names, "FC_FIELD_LIST not found"
    return [(str(ident), str(name)) for ident, name in names]


def slot_of(name: str, by: Multipliers) -> int:
    """Return the slot of a name: the twin of the FC_FIELD_SLOT macro."""
    parts = (ord(name[0]), ord(name[max(len(name) - 4, 0)]), ord(name[-1]), len(name))
    return sum(a * b for a, b in zip(parts, by, strict=True)) >> 8 & 255


def find_multipliers(names: list[str]) -> Multipliers:
    """Search until every name has a slot of its own."""
    source = random.Random(9112)
    for _ in range(2_000_000):
        a, b, c, d = (source.randrange(65536) for _ in range(4))
        by = (a, b, c, d)
        if len({slot_of(name, by) for name in names}) == len(names):
            return by
    raise SystemExit("no perfect hash found: choose other bytes of the name in slot_of")


def render() -> str:
    """Return the text of csrc/field_hash.h."""
    names = read_names()
    by = find_multipliers([name for _, name in names])
    slots = sorted((slot_of(name, by), ident) for ident, name in names)
    lines = [
        "/* Made by tests/native/field_hash.py from FC_FIELD_LIST: do not edit. */",
        "#ifndef FC_FIELD_HASH_H",
        "#define FC_FIELD_HASH_H",
        "",
        '#include "parser.h"',
        "",
        "/* clang-format off */",
        "/* The slot of a name; the three bytes are in lower case. */",
        "#define FC_FIELD_SLOT(first, late, last, len) \\",
        f"    (((first) * {by[0]}u + (late) * {by[1]}u + \\",
        f"      (last) * {by[2]}u + (unsigned)(len) * {by[3]}u) >> 8 & 255u)",
        "",
        "static const unsigned char fc_field_slots[256] = {",
        *(f"    [{slot}] = FC_FIELD_{ident}," for slot, ident in slots),
        "};",
        "/* clang-format on */",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
