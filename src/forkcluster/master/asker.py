"""Who asked for something, in words for the log and the history."""


def describe(pid: int, uid: int) -> str:
    """Say who a process is: its user, pid and command, as far as /proc tells now."""
    return f"uid {uid}, pid {pid}{_command(pid)}"


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""
