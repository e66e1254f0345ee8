"""`python -m forkcluster` is the command `forkcluster`."""

from forkcluster.cli import main

main()
