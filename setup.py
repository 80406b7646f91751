"""What pyproject.toml cannot say: the optional kernels, and that wheels hold configs/ within the package."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

# by its path: importing madnet would need what is about to be installed
compiled = runpy.run_path(str(Path(__file__).parent / 'madnet/ops/selective_scan/build_ext.py'))

setup(
    packages=[*find_packages(include=['madnet', 'madnet.*']), 'madnet.configs'],
    package_dir={'madnet.configs': 'configs'},
    ext_modules=compiled['extensions'](),
    cmdclass={'build_ext': compiled['OptionalBuildExt']},
)
