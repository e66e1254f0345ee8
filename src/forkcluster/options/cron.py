"""The times that a cron expression names, by this machine's wall clock. Lazily loads the extra `cron`."""

from collections.abc import Iterator
from datetime import datetime

from forkcluster.errors import ConfigurationError


def times(expression: str, since: float) -> Iterator[datetime]:
    """Give the local times of an expression after `since` (seconds since the epoch), naive ones.

    Raise ConfigurationError: it cannot be read, or the package is not there.
    """
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        text = "cron_restart needs the package cronsim"
        raise ConfigurationError(text, "pip install 'forkcluster[cron]'") from None
    try:
        return CronSim(expression, datetime.fromtimestamp(since))
    except CronSimError as error:
        raise ConfigurationError(f"cron_restart is {expression!r}: {error}") from error
