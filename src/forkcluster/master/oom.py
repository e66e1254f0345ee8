"""Whether the kernel has killed for want of memory: reads the counter of our control group (cgroups(7)).

A worker killed by SIGKILL says nothing itself; when the counter has risen meanwhile, memory is the likely
reason.
"""

import os
import re


class OomCounter:
    """The counter `oom_kill` of our group; without one (no cgroups, no /proc) nothing is ever told."""

    def __init__(self, proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> None:
        self._path = _find(proc, root)
        self._seen = self._read()

    def risen(self) -> bool:
        """Tell whether it has risen since the last call."""
        before, self._seen = self._seen, self._read()
        return self._seen > before

    def _read(self) -> int:
        try:
            with open(self._path, encoding="ascii") as file:
                found = re.search(r"^oom_kill (\d+)$", file.read(), re.MULTILINE)
        except (OSError, ValueError):
            return 0
        return int(found[1]) if found else 0


def _find(proc: str, root: str) -> str:
    """Find the file with the counter: version 1 where it has the memory controller, else version 2."""
    try:
        with open(proc, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return ""
    for number, controllers, path in lines:
        if "memory" in controllers.split(","):
            return _inside(f"{root}/memory", path, "memory.oom_control")
        if (number, controllers) == ("0", ""):
            found = _inside(root, path, "memory.events")
            if found:
                return found
    return ""


def _inside(root: str, path: str, name: str) -> str:
    """The group's file; in a container the group's path may be the host's, its root is then ours."""
    places = (f"{root}/{path.lstrip('/')}/{name}", f"{root}/{name}")
    return next((place for place in places if os.path.exists(place)), "")
