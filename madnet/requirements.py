"""What of the libraries that madnet can use is installed, by the package's own metadata, and loads."""

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from traceback import walk_tb

from madnet.errors import in_brief

#: Extra → what it is for; '' for what every installation has.
EXTRAS = {
    '': 'data sets, training-free detectors, metrics',
    'train': 'training, testing, and prediction with networks and shipped weights',
    'report': 'figures and report pages',
    'runtime': 'prediction with exported networks, without PyTorch',
    'export': 'export to ONNX',
    'demo': 'the page of madnet demo',
    'boxes': 'average precision of boxes by pycocotools',
    'completion': 'completion of commands in the shell',
}
#: Distribution → what is imported, where the names differ.
_IMPORTED_AS = {
    'opencv-python': 'cv2',
    'pillow': 'PIL',
    'pyyaml': 'yaml',
    'onedl-mmengine': 'mmengine',
    'onedl-mmcv': 'mmcv',
    'onedl-mmsegmentation': 'mmseg',
    'onedl-mmdetection': 'mmdet',
}
_REQUIREMENT = re.compile(r'([\w.-]+)(?:\[[\w,-]+\])?\s*([^;]*)(?:;.*\bextra == "([\w-]+)")?')
_BOUND = re.compile(r'(>=|<)\s*([\d.]+)')
_PYTHON = re.compile(r'python_version >= "([\d.]+)"')


@dataclass(frozen=True)
class Requirement:
    """A distribution that madnet can use.

    Attributes:
        name: Of the distribution.
        bounds: Which versions, such as ``'<2.14,>=2.6'``.
        extra: The first extra of :data:`EXTRAS` that brings it.
    """

    name: str
    bounds: str
    extra: str

    @property
    def module(self) -> str:
        """What is imported."""
        return _IMPORTED_AS.get(self.name, self.name)

    @property
    def installed(self) -> str | None:
        """The version that is installed; None where there is none."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None

    @property
    def problem(self) -> str:
        """What is wrong with it, such as ``'missing'``; empty where nothing is."""
        version = self.installed
        if version is None:
            return 'missing'
        found = _numbers(version)
        fits = all(
            found >= _numbers(bound) if sign == '>=' else found < _numbers(bound)
            for sign, bound in _BOUND.findall(self.bounds)
        )
        return '' if fits else f'found {version}, expected {self.bounds}'

    def why_not_loaded(self) -> str:
        """Import it; returns why that fails, empty where it does not."""
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter('ignore')
                import_module(self.module)
        except Exception as e:  # whatever a broken library raises
            return reason_of(e)
        return ''


def requirements() -> list[Requirement]:
    """What an installation, and each of its extras, needs; nothing where madnet is not installed.

    What an extra takes from another one (``madnet[report]``) is listed under that other one.
    """
    try:
        lines = metadata.requires('madnet') or []
    except metadata.PackageNotFoundError:
        return []
    found = [Requirement(name, bounds.strip(), extra or '') for name, bounds, extra in _parsed(lines)]
    return sorted(
        (r for r in found if r.name != 'madnet' and r.extra in EXTRAS),
        key=lambda r: [*EXTRAS].index(r.extra),
    )


def _parsed(lines: list[str]) -> Iterator[tuple[str, str, str | None]]:
    for line in lines:
        python = _PYTHON.search(line)
        if python and sys.version_info < _numbers(python[1]):
            continue
        if match := _REQUIREMENT.match(line):
            yield match[1].lower(), match[2], match[3]


def what_is_wrong(error: BaseException) -> str | None:
    """One line, for people, on a library that is missing or cannot be loaded; None where ``error`` is of no
    library that madnet uses.

    Args:
        error: What importing it raised.
    """
    known = {requirement.module: requirement for requirement in requirements()}
    name = (isinstance(error, ModuleNotFoundError) and error.name) or ''
    missing = known.get(name.partition('.')[0])
    if missing and (missing.installed is None or '.' not in name):  # else a part of it is missing
        extra = f'[{missing.extra}]' if missing.extra else ''
        return f'{missing.name} is not installed, which this needs: pip install "madnet{extra}"'
    # of libraries that import one another, the one that was begun last
    begun = (
        known.get(frame.f_globals.get('__name__', '').partition('.')[0])
        for frame, _ in reversed([*walk_tb(error.__traceback__)])
        if frame.f_code.co_name == '<module>'
    )
    if broken := next(filter(None, begun), missing):
        return (
            f'{broken.name} is installed, but cannot be loaded: {reason_of(error)}; madnet doctor says more'
        )
    return None


def reason_of(error: BaseException) -> str:
    """Why an import failed, in brief."""
    return in_brief(error) or type(error).__name__


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r'\d+', version.partition('+')[0])[:4])
