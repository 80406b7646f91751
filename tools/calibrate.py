#!/usr/bin/env python
"""The command ``madnet calibrate``, from a checkout."""

import sys

from madnet.cli import run

if __name__ == '__main__':
    sys.exit(run('calibrate'))
