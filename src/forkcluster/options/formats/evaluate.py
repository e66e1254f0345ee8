"""The child that evaluates a Python configuration: runs the file, prints its public names as JSON, and ends.

`data` holds what JSON can carry; functions and whatever else it cannot are named in `left`. Within the tables
that we read a path is its text, and what JSON cannot carry is an object whose one member, MARK, is its type.
What the file itself prints goes to standard error.
"""

import json
import os
import runpy
import sys
import traceback
from typing import Final

from forkcluster.options.formats.document import TABLES

MARK: Final = "\0left"


def main(argv: list[str]) -> int:
    """Evaluate the file `argv[1]`: 0 with JSON on standard output, or 1 with a traceback on the other."""
    path = argv[1]
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, os.path.dirname(path))
    sys.argv = [path]
    try:
        found = runpy.run_path(path)
    except BaseException as error:
        # The frames of runpy and ours say nothing to the file's author.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != path:
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace))
        sys.stderr.write(text.encode("utf-8", "backslashreplace").decode())
        return 1
    data, left = {}, {}
    for name, value in found.items():
        if name.startswith("_") or isinstance(value, type(os)):
            continue
        try:
            ours = name in TABLES and isinstance(value, dict | list | tuple)
            data[name] = json.loads(json.dumps(value, default=_carried if ours else None))
        except (TypeError, ValueError, RecursionError):
            left[name] = _kind(value)
    with os.fdopen(answer, "w", encoding="utf-8") as file:
        json.dump({"data": data, "left": left}, file)
    return 0


def _carried(value: object) -> object:
    return os.fsdecode(value) if isinstance(value, os.PathLike) else {MARK: _kind(value)}


def _kind(value: object) -> str:
    return "function" if callable(value) else type(value).__name__
