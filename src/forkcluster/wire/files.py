"""Small files that are written whole or not at all, and read back by another process."""

import contextlib
import json
import os


def write_whole(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace the file: written beside it, synced, renamed. Raise OSError; then the old one is as it was."""
    draft = f"{path}.{os.getpid()}.new"
    try:
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    _sync_directory(os.path.dirname(path) or ".")


def read_json(path: str) -> dict[str, object] | None:
    """Read a file that holds one JSON object; None when there is none, or not such a one."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _sync_directory(path: str) -> None:
    """Make the rename last through a power failure, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
