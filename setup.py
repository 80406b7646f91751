"""Builds and installs madnet; settings of its tools are in pyproject.toml."""

import re
import runpy
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
# by its path: importing madnet would need what is about to be installed
compiled = runpy.run_path(str(here / 'madnet/ops/selective_scan/build_ext.py'))
version = re.search(
    r"__version__ = '(.+?)'", (here / 'madnet/__init__.py').read_text(encoding='utf-8')
).group(1)

setup(
    name='madnet',
    version=version,
    description='Infrared small target detection: networks, data, trustworthy numbers, on mmengine and mmseg',
    long_description=(here / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords=['infrared small target detection', 'IRSTD', 'segmentation', 'MAD-Net', 'mmsegmentation'],
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['madnet', 'madnet.*']),
    ext_modules=compiled['extensions'](),
    cmdclass={'build_ext': compiled['OptionalBuildExt']},
    package_data={
        'madnet.ops.selective_scan': ['csrc/*.c', 'csrc/*.h'],
        'madnet.datasets': ['catalogue.json', 'splits/*/*/*.txt'],
        'madnet.pretrained': ['*.json', '*.md', '*.safetensors'],
        'madnet.visualization': ['templates/*'],
    },
    install_requires=[
        'torch>=2.6,<2.14',
        'numpy>=1.26',
        'opencv-python>=4.9',
        'onedl-mmengine>=0.10.12,<0.11',
        'onedl-mmcv>=2.3.6,<2.4',
        'onedl-mmsegmentation>=1.4.2,<1.5',
        'scipy>=1.11',
        'pillow>=10.1',
        'matplotlib>=3.8',
        'jinja2>=3.1',
        'safetensors>=0.4.3',  # shipped weights: tensors that can be read without running code
        'pyyaml>=6',
        'tqdm>=4.65',
        'tensorboard>=2.14',
        'setuptools>=68',  # mmengine imports distutils, whose shim lives there on Python 3.12 and later
    ],
    extras_require={
        'dev': [
            'pytest>=8',
            'pytest-xdist>=3.5',
            'hypothesis>=6.100',
            'ruff==0.17.6',
            'pycocotools>=2.0.8',
            'onnx>=1.16',  # what exported networks are written and run with
            'onnxruntime>=1.18',
            'scikit-image>=0.22',  # what pyirstdmetrics, an oracle of the tests, imports
            # 270 MB; tests compile and interpret the GPU kernels with it, without a GPU. Not pinned:
            # torch for CUDA brings the one it wants.
            'triton>=3.3; sys_platform == "linux" and platform_machine == "x86_64"',
        ],
        'torchvision': ['torchvision>=0.21,<0.29'],
        'mmdet': ['onedl-mmdetection>=3.5.1,<3.6'],
        'boxes': ['pycocotools>=2.0.8'],
        'runtime': ['onnxruntime>=1.18'],
        'export': ['onnx>=1.16', 'onnxruntime>=1.18'],
    },
)
