"""What has happened to an app: the latest of what its log was told, for whoever asks."""

import time
from collections import deque

from forkcluster.log import Field, timestamp

MOST_EVENTS = 256
MOST_TEXT = 4096

Entry = dict[str, Field | dict[str, Field]]


class History:
    """The last MOST_EVENTS events, each with its wall-clock time."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MOST_EVENTS)

    def add(self, level: str, text: str, fields: dict[str, Field]) -> None:
        """Remember one event; a long text keeps its beginning and its end."""
        if len(text) > MOST_TEXT:
            text = f"{text[: MOST_TEXT // 2]}\n... cut ...\n{text[-MOST_TEXT // 2 :]}"
        self._entries.append({"time": timestamp(time.time()), "level": level, "text": text, "fields": fields})

    def latest(self, count: int = MOST_EVENTS) -> list[Entry]:
        """Give the latest events, the oldest of them first."""
        return list(self._entries)[-count:]
