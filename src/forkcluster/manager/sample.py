"""The ecosystem file that `forkcluster init` writes: one application, the rest as comments to be used."""

import os

from forkcluster.errors import ConfigurationError, ForkclusterError, UsageError
from forkcluster.options import discover

NAME = "forkcluster.toml"

TEMPLATE = """\
# What runs here. Every key: docs/ecosystem.md; every option: forkcluster serve --help.
#
#   forkcluster plan forkcluster.toml      what would be done
#   forkcluster apply forkcluster.toml     do it
#   forkcluster run forkcluster.toml       all apps in the foreground, for containers

[[apps]]
name = {name}
target = {target}
instances = 2                        # 0 or "max": one for each CPU this process may use
bind = "127.0.0.1:8000"
# env_file = "{bare}.env"
# probe_path = "/health"             # asked of the first worker of a reload
# max_memory = "500M"                # a worker that grows beyond is replaced
# watch = true                       # reload when a file changes
# depends_on = ["worker"]            # started first

[apps.env]
# DEBUG = "0"

# Variables for `--env staging`, over those of env.
[apps.env_staging]
# DEBUG = "1"

# A program that is no web application, run as it is:
# [[apps]]
# name = "worker"
# script = "celery -A {bare} worker"
# restart = "on-failure"
# max_restarts = 10

# Kept for a command to come; this release does not deploy.
# [deploy.production]
# host = ["web1.example.org", "web2.example.org"]
# user = "deploy"
# repo = "git@example.org:{bare}.git"
# ref = "origin/main"
# path = "/srv/{bare}"
"""


def text(directory: str) -> str:
    """Give the file's text for a directory: its application, if one is found there."""
    from forkcluster.options.formats import write

    try:
        target = discover.discover(directory, os.environ).target
    except ForkclusterError:
        target = "app:application"
    name = discover.app_name(target)
    if name == "app":
        name = discover.app_name(os.path.basename(directory) + ".py")
    return TEMPLATE.format(name=write.text(name), target=write.text(target), bare=name)


def create(directory: str, name: str = NAME) -> str:
    """Write the file, which must not be there; give its path. Raises UsageError or ConfigurationError."""
    from forkcluster.options.formats import write

    path = os.path.join(directory, name)
    write.check_name(path)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text(directory))
    except FileExistsError:
        raise UsageError(f"{path} is there already", "it is left as it is; name another file") from None
    except OSError as error:
        raise ConfigurationError(f"writing {path}: {error.strerror}") from error
    return path
