"""``python -m madnet``: the command ``madnet``."""

import sys

if __name__ == '__main__':
    from madnet.cli import console

    sys.exit(console())
