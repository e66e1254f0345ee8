"""csrc/accesslog.c with its thread: no line lost, torn or doubled, and nobody ever waits for a disk.

The cases are functions of accesslog_test.c; each name is the sentence that holds.
"""

import pytest

FORMATTING = ("csrc/fields.c", "csrc/syntax.c", "csrc/logformat.c", "csrc/logline.c", "csrc/logjson.c")
SOURCES = ("tests/native/accesslog_test.c", "csrc/accesslog.c", *FORMATTING)
CASES = [
    "lines_reach_the_file_in_order",
    "a_line_is_written_without_more_to_come",
    "a_stuck_pipe_drops_and_counts_and_never_blocks",
    "the_pipe_of_others_is_not_made_nonblocking",
    "a_stuck_socket_lets_go_at_the_end",
    "a_reader_that_left_is_survived",
    "a_full_disk_is_counted_and_a_new_file_works_again",
    "a_line_torn_by_a_full_disk_is_finished_when_there_is_room",
    "reopening_loses_and_tears_no_line_of_four_threads",
    "a_new_descriptor_replaces_a_stuck_one",
    "a_log_that_was_never_started_is_freed",
    "descriptors_are_closed_again",
]


@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
@pytest.mark.parametrize("case", CASES)
def test_accesslog(passes, case, sanitize):
    """The case holds and the sanitizer has nothing to say."""
    assert passes("accesslog", SOURCES, case, sanitize=sanitize) == ""
