"""`python -m forkcluster.master FD TITLE`: what `cli.serve` executes, in the same process."""

import sys

from forkcluster.master.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
