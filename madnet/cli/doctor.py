"""Print versions, devices, back ends and data sets, and what to install for what is missing."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from madnet.requirements import EXTRAS, reason_of, requirements

EXAMPLES = """
examples:
  %(prog)s
      what works here, and what to install for the rest; put it into a bug report
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    pass


def work(args: argparse.Namespace) -> Callable:
    def tell() -> None:
        # as they come: what was found is there, whatever a broken library does to the process
        for part in (_here, _packages, _devices, _data_sets):
            for line in part():
                print(line, flush=True)

    return tell


def _here() -> Iterator[str]:
    from madnet import __file__, __version__
    from madnet.config_files import SHIPPED, config_names

    yield f'madnet {__version__} in {Path(__file__).parent}'
    yield f'Python {platform.python_version()} in {sys.prefix}; {platform.platform()}'
    yield f'configs: {len(config_names())}, with those of {SHIPPED}'


def _packages() -> Iterator[str]:
    known = requirements()
    if not known:
        yield 'madnet runs from a folder and is not installed: pip install -e . there'
    for extra, purpose in EXTRAS.items():
        needed = [r for r in known if r.extra == extra]
        if not needed:
            continue
        problems = [f'{r.name} {r.problem}' for r in needed if r.problem]
        option = f'madnet[{extra}]' if extra else 'madnet'
        broken: dict[str, list[str]] = {}
        for r in needed:
            if r.installed is not None and (reason := r.why_not_loaded()):
                broken.setdefault(reason, []).append(r.name)
        if broken:
            said = [f'{", ".join(names)} installed, but cannot be loaded: {r}' for r, names in broken.items()]
            yield _line(
                False, purpose, '; '.join([*problems, *said, 'install what that names, or these anew'])
            )
        elif any(r.installed is None for r in needed):
            yield _line(False, purpose, f'{", ".join(problems)}; pip install "{option}"')
        elif problems:
            yield _line(True, purpose, f'but not as tested: {", ".join(problems)}; pip install "{option}"')
        else:
            yield _line(True, purpose, ', '.join(f'{r.name} {r.installed}' for r in needed))


def _devices() -> Iterator[str]:
    yield f'CPU: {platform.machine()}, {len(os.sched_getaffinity(0))} cores'
    try:
        import torch
    except Exception as e:
        yield f'GPU: not known without torch ({reason_of(e)})'
        return

    from madnet.ops.selective_scan.custom_op import BACKENDS

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield f'GPU: {", ".join(names) or f"none that torch {torch.__version__} can use"}'
    for device in ['cpu', *(['cuda'] if names else [])]:
        for name, backend in BACKENDS.items():
            reason = backend.why_not(torch.device(device), torch.float32)
            yield _line(reason is None, f'selective scan on {device} by {name}', reason)


def _data_sets() -> Iterator[str]:
    try:
        from madnet.curation.catalogue_view import catalogue_rows
        from madnet.datasets.locate import data_home
    except Exception as e:
        yield f'data sets: not known, as they cannot be read ({reason_of(e)})'
        return

    yield f'data sets under {data_home()} ($MADNET_DATA_ROOT; default datasets/):'
    for row in catalogue_rows():
        found = [f'{one["images"]} images in {one["folder"]}' for one in row['found']]
        yield _line(bool(found), row['name'], '; '.join(found) or f'not found; {row["source"]}')


def _line(works: bool, what: str, more: str | None) -> str:
    return f'{"yes" if works else "no":3}  {what}{f": {more}" if more else ""}'
