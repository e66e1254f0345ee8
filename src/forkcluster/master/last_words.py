"""What a process printed last, for whoever is told that it failed.

The logger tells it when it has written a pipe to its end, so nothing is missed that the process printed, and
nothing of another process is mixed in. Whoever asks is answered when both pipes have ended; a child that
lives on may keep one open, and is not waited for.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

PATIENCE = 1.0  # seconds

Pipes = dict[int, str | None]
"""Of one process, by number, standard output first: its last lines; None: it has not ended."""


class Question(NamedTuple):
    """Who waits for the last words of a process, and until when."""

    pipes: Pipes
    until: float
    answer: Callable[[str], None]


class LastWords:
    """Those of the newest process of every slot."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._newest: dict[str, Pipes] = {}
        self._questions: list[Question] = []

    def begin(self, worker: str, pipes: Iterable[int]) -> None:
        """A process has got these pipes."""
        self._newest[worker] = dict.fromkeys(pipes)

    def ended(self, number: int, text: str) -> None:
        """A pipe is at its end, with these lines."""
        for pipes in (*self._newest.values(), *(each.pipes for each in self._questions)):
            if number in pipes:
                pipes[number] = text
        self._answer()

    def ask(self, worker: str, answer: Callable[[str], None]) -> None:
        """Call `answer`, perhaps at once, with what the newest process of the slot wrote last to standard
        error, or to standard output when there is nothing.
        """
        self._questions.append(Question(self._newest.get(worker, {}), self._now() + PATIENCE, answer))
        self._answer()

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when nobody waits."""
        return min((each.until for each in self._questions), default=None)

    def expire(self) -> None:
        """Answer those who have waited long enough."""
        self._answer()

    def _answer(self) -> None:
        now, waiting = self._now(), self._questions
        self._questions = [each for each in waiting if None in each.pipes.values() and now < each.until]
        for each in waiting:
            if each not in self._questions:
                each.answer(_said(each.pipes))


def _said(pipes: Pipes) -> str:
    return next((text for text in reversed(pipes.values()) if text and text.strip()), "").rstrip()
