"""`python -m forkcluster.options`: what the master runs at a reload."""

import sys

from forkcluster.options.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
