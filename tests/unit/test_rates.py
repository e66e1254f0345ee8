"""master.rates: what two samples of the scoreboard tell."""

import pytest

from forkcluster.master.rates import INTERVAL, Rates, Sample, compare, quantile

BOUNDS = (1_000_000_000, 2_000_000_000)  # ns: buckets up to 1 s, to 2 s, longer


def sample(at, ok=0, failed=0, durations=(0, 0, 0), by_seat=()):
    """A sample with answers of classes 2xx and 5xx."""
    return Sample(at, (0, 0, ok, 0, 0, failed), durations, by_seat)


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, (0, 0, 0), None),
        (0.5, (10, 0, 0), 0.5),
        (0.99, (100, 0, 0), 0.99),
        (0.5, (5, 5, 0), 1.0),
        (0.75, (5, 5, 0), 1.5),
        (0.99, (0, 0, 7), 2.0),
        (1.0, (1, 0, 0), 1.0),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(share, counts, expected):
    """Nothing has no quantile; what is longer than the last bound is told as that bound."""
    assert expected == quantile(share, counts, (1.0, 2.0))


def test_two_samples_tell_the_pace_between_them():
    """Requests and errors per second, by seat also, of what was counted meanwhile only."""
    before = sample(10.0, ok=100, failed=4, durations=(100, 4, 0), by_seat=(90, 14))
    after = sample(15.0, ok=140, failed=14, durations=(140, 14, 0), by_seat=(115, 34, 5))
    figures = compare(before, after, (1.0, 2.0))
    assert (5.0, 10.0, 2.0) == (figures.seconds, figures.requests_per_second, figures.errors_per_second)
    assert [5.0, 4.0, 1.0] == figures.by_seat
    assert (0.625, 1.95) == (figures.p50, pytest.approx(figures.p99))


def test_a_seat_that_was_empty_meanwhile_does_not_count_its_past():
    """A seat's counters go on under its next owner, and only the difference is told."""
    figures = compare(sample(0.0, by_seat=(1000,)), sample(5.0, by_seat=(1005,)), (1.0, 2.0))
    assert [1.0] == figures.by_seat


def test_whoever_asks_is_told_of_the_last_one_to_two_intervals():
    """Two samples are kept, and the older one is compared with now."""
    count = 0

    def totals():
        return (0, 0, count, 0, 0, 0), (count, 0, 0), (count,)

    rates = Rates(totals, BOUNDS)
    assert None is rates.figures(0.0)
    for second in range(31):
        count = 7 * second
        if second >= rates.deadline():
            rates.look(float(second))
        figures = rates.figures(second + 0.5)
        assert second < INTERVAL or INTERVAL <= figures.seconds < 2 * INTERVAL
        assert pytest.approx(7.0, abs=0.7) == figures.requests_per_second or second < INTERVAL


def test_a_sample_is_taken_no_more_often_than_needed():
    """One C call per interval, however often the loop turns."""
    calls = []
    rates = Rates(lambda: calls.append(1) or ((0,) * 6, (0,) * 3, ()), BOUNDS)
    for tenth in range(100):
        rates.look(tenth / 10)
    assert 2 == len(calls)
