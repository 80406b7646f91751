"""``python -m madnet``: the command ``madnet``."""

import sys

from madnet.cli import console

if __name__ == '__main__':
    sys.exit(console())
