"""Last words: asked for before and after the pipes end, of one process only, and not for ever."""

import pytest

from forkcluster.master.last_words import PATIENCE, LastWords


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def words(clock):
    return LastWords(clock)


def test_answer_comes_when_both_pipes_have_ended(words):
    """Standard error is what is quoted."""
    heard = []
    words.begin("0", (1, 2))
    words.ask("0", heard.append)
    words.ended(2, "no\n")
    assert [] == heard
    words.ended(1, "out\n")
    assert ["no"] == heard
    assert words.deadline() is None


@pytest.mark.parametrize(("error", "said"), [("", "out"), (" \n", "out"), ("no\n\n", "no")])
def test_answer_comes_at_once_when_they_have_ended_before(words, error, said):
    """Standard output counts where there is nothing else."""
    heard = []
    words.begin("0", (1, 2))
    words.ended(1, "out\n")
    words.ended(2, error)
    words.ask("0", heard.append)
    assert [said] == heard


def test_a_pipe_that_stays_open_is_not_waited_for(words, clock):
    """What has ended is quoted then."""
    heard = []
    words.begin("0", (1, 2))
    words.ask("0", heard.append)
    words.ended(1, "out\n")
    assert PATIENCE == words.deadline()
    clock.now = PATIENCE
    words.expire()
    assert ["out"] == heard


def test_the_next_process_of_the_slot_is_another_one(words):
    """It may begin before the pipes of the last one have ended."""
    heard = []
    words.begin("0", (1, 2))
    words.ask("0", heard.append)
    words.begin("0", (3, 4))
    words.ended(4, "mine\n")
    words.ended(3, "")
    words.ended(1, "")
    words.ended(2, "yours\n")
    words.ask("0", heard.append)
    assert ["yours", "mine"] == heard


def test_a_slot_without_a_process_has_nothing_to_say(words):
    """Its command could not be executed."""
    heard = []
    words.ask("0", heard.append)
    assert [""] == heard
