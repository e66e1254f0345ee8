"""A date format as PM2 has it (day.js: YYYY-MM-DD HH:mm:ss.SSS) or strftime's, as one for strftime. Pure."""

import re
from typing import Final

WORDS: Final = {
    "YYYY": "%Y", "YY": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "DD": "%d", "dddd": "%A", "ddd": "%a",
    "HH": "%H", "hh": "%I", "mm": "%M", "ss": "%S", "SSS": "%f", "ZZ": "%z", "Z": "%z", "A": "%p", "X": "%s",
}  # fmt: skip
PATTERN: Final = re.compile(r"\[([^\]]*)\]|" + "|".join(sorted(WORDS, key=len, reverse=True)))


def strftime_format(text: str) -> str:
    """Give the format for strftime; `%f` stands for milliseconds. A text with a % is one already."""
    if "%" in text:
        return text
    return PATTERN.sub(lambda found: found[1] if found[1] is not None else WORDS[found[0]], text)


def check_format(text: str) -> None:
    """A format that says something about the time. Raises ValueError."""
    if "\n" in text or "%" not in strftime_format(text):
        raise ValueError("expected a format such as '%Y-%m-%d %H:%M:%S' or 'YYYY-MM-DD HH:mm:ss'")
