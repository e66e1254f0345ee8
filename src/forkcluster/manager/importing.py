"""Takes over configurations of other tools: finds out whose a file is, reads or evaluates it, and checks the
result.
"""

import os
from collections.abc import Mapping

from forkcluster.errors import ConfigurationError, UsageError
from forkcluster.manager import from_gunicorn, from_pm2
from forkcluster.manager.imported import Imported
from forkcluster.options import ecosystem, entry
from forkcluster.options.formats import python, toml
from forkcluster.options.formats import read as formats
from forkcluster.options.formats.document import Document


def import_file(path: str, environment: Mapping[str, str], target: str | None = None) -> Imported:
    """Read the file at `path` and give it in our words; `target` is what gunicorn's command line named.

    Raises ConfigurationError if it cannot be read, UsageError if there is nothing to take over.
    """
    if formats.format_of(path) == "python":
        if not os.path.isfile(path):
            raise ConfigurationError(f"reading the configuration {path}: it does not exist")
        found = python.evaluate(path, environment)
        if "apps" in found.data or "app" in found.data:
            raise UsageError(f"{path} is a configuration of forkcluster already", f"forkcluster start {path}")
        return _checked(from_gunicorn.carry(os.path.basename(path), found, target))
    return import_document(formats.read(path, environment))


def import_document(document: Document) -> Imported:
    """Give a PM2 ecosystem in our words."""
    found = ecosystem.understand(document)
    if not found.entries:
        raise UsageError(f"{document.path} has no apps", "an ecosystem file has a list of apps")
    return _checked(from_pm2.carry(found))


def _checked(imported: Imported) -> Imported:
    """Read what was made; what is wrong with it is told, since only a person can mend it."""
    text = imported.toml()
    try:
        found = ecosystem.understand(Document("the new file", "toml", *toml.parse(text)))
        for each in found.entries:
            entry.describe(found, each)
    except ConfigurationError as error:
        problem = str(error).replace("\n ", ";")
        return Imported(
            imported.source, imported.apps, imported.deploy, (*imported.lost, f"to be mended: {problem}")
        )
    return imported
