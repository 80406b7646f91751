"""``python -m madnet``: the command ``madnet``."""

import os
import sys
from pathlib import Path

if __name__ == '__main__':
    # Python's -m puts the current folder before all others, and a module there before what ours and a config
    # mean by its name; the command madnet does not. It stays where the package lies in it.
    if sys.path[:1] == [os.getcwd()] != [str(Path(__file__).parents[1])]:
        del sys.path[0]

    from madnet.cli import console

    sys.exit(console())
