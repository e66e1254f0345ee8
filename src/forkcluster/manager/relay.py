"""What apps print, line by line with the app's name before it, or as JSON. Knows no processes.

Lines are never mixed: each is written whole. A line longer than MOST is cut into several.
"""

import json
from collections.abc import Callable, Sequence
from typing import Final

from forkcluster.dataclass import dataclass, field

MOST: Final = 64 * 1024
COLOURS: Final = (36, 33, 35, 32, 34, 31)

Format = Callable[[bytes], bytes]


@dataclass()
class Lines:
    """Cuts a stream of bytes into lines and gives each to `write`, formatted."""

    format: Format
    write: Callable[[bytes], None]
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        while len(rest) >= MOST:
            lines.append(rest[:MOST])
            rest = rest[MOST:]
        self._rest = rest
        if lines:
            self.write(b"".join(self.format(bytes(line)) + b"\n" for line in lines))

    def end(self) -> None:
        """Give what is left: a last line without its end."""
        if self._rest:
            self.feed(b"\n")


def prefixed(names: Sequence[str], name: str, *, colour: bool) -> Format:
    """Give the format `name | line`, all names equally wide."""
    word = name.ljust(max(map(len, names), default=0))
    if colour:
        word = f"\x1b[{COLOURS[names.index(name) % len(COLOURS)]}m{word}\x1b[0m"
    head = f"{word} | ".encode()
    return lambda line: head + line


def as_json(name: str, stream: str) -> Format:
    """Give the format of one JSON object a line: the app's own object with its name, else one of ours."""

    def form(line: bytes) -> bytes:
        text = line.decode("utf-8", "replace")
        try:
            value = json.loads(text) if text.startswith("{") else None
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            found = {"app": name, **value}
        else:
            found = {"app": name, "stream": stream, "message": text}
        return json.dumps(found, ensure_ascii=False).encode("utf-8", "backslashreplace")

    return form
