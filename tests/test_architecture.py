"""Who imports whom: only rooms below one's own, nothing in circles, and blocks of a network for it alone."""

import ast
import runpy
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from PIL import Image

import madnet

ROOT = Path(madnet.__file__).parent

#: What all rooms may import: modules that stand beside them.
FOUNDATION = {
    'config_files',
    'errors',
    'fetching',
    'files',
    'lazy',
    'options',
    'overlap',
    'plain_yaml',
    'postponed',
    'progress',
    'requirements',
    'starting',
    'text',
    '_quiet_import',
}
#: Room → the rooms that it may import.
ROOMS = {
    'ops': set(),
    'classical': set(),
    'images': set(),
    'records': set(),
    'evaluation': {'images', 'records'},
    'datasets': {'evaluation', 'images', 'records'},
    'models': {'ops', 'classical'},
    'visualization': {'datasets', 'evaluation', 'images', 'records'},
    'curation': {'datasets', 'engine', 'evaluation', 'images', 'records', 'visualization'},
    'engine': {'datasets', 'evaluation', 'images', 'models', 'ops', 'records'},
    'pretrained': {'classical', 'datasets', 'engine', 'evaluation', 'images', 'models', 'records'},
    'inference': {
        *('classical', 'datasets', 'engine', 'evaluation', 'images', 'models', 'ops', 'pretrained'),
        *('records', 'visualization'),
    },
    'probing': {
        *('curation', 'datasets', 'evaluation', 'images', 'inference', 'records', 'visualization'),
    },
    'runtime': {'inference'},
    'benchmarks': {
        *('classical', 'datasets', 'engine', 'evaluation', 'images', 'inference', 'models', 'ops', 'records'),
        'visualization',
    },
    'cli': {
        *('benchmarks', 'curation', 'datasets', 'engine', 'evaluation', 'experiments', 'inference', 'models'),
        *('ops', 'pretrained', 'probing', 'records', 'visualization'),
    },
    'experiments': {
        *('benchmarks', 'classical', 'datasets', 'engine', 'evaluation', 'models', 'records'),
        'visualization',
    },
}
#: Modules that gather the rooms, and that no room imports.
GATHERERS = {'__main__', 'components', 'registration'}
#: Files of backbones, necks and heads that are not named after their network.
OTHER_NAMES = {'adadcm_encoder': 'madnet', 'mema2m_neck': 'madnet'}


@cache
def modules() -> dict[str, ast.Module]:
    """Name → syntax tree of every module of the package, packages among them."""
    found = {}
    for path in sorted(ROOT.rglob('*.py')):
        parts = ['madnet', *path.relative_to(ROOT).with_suffix('').parts]
        name = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
        found[name] = ast.parse(path.read_text(encoding='utf-8'))
    return found


def imported(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in it, under their full names."""
    package = (ROOT.parent / name.replace('.', '/')).is_dir()
    found = set()
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = name.split('.')[: len(name.split('.')) - node.level + package] if node.level else []
            base = '.'.join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(f'{base}.{alias.name}' if f'{base}.{alias.name}' in modules() else base)
    return {module for module in found if module.partition('.')[0] in ('madnet', 'tools', 'tests')} - {name}


@cache
def imports() -> dict[str, set[str]]:
    """Name → :func:`imported` of every module."""
    return {name: imported(name) for name in modules()}


def room_of(module: str) -> str:
    """``'models'`` for ``'madnet.models.layers.cbam'``; ``''`` for ``'madnet'`` itself."""
    return module.split('.')[1] if '.' in module else ''


def test_the_rooms_themselves_make_no_circle():
    order = list(TopologicalSorter(ROOMS).static_order())
    assert set(order) == set(ROOMS)
    folders = {path.parent.name for path in ROOT.glob('*/__init__.py')}
    assert folders == set(ROOMS)


def test_the_picture_of_the_rooms_is_todays(repository):
    rooms = runpy.run_path(str(repository / 'docs' / 'build' / 'rooms.py'))
    shown = Image.open(repository / 'docs' / 'images' / 'rooms.png').text['Description']
    assert shown == rooms['told'](rooms['read_rooms'](ROOT)), 'run python docs/build/rooms.py'
    assert {room.partition(':')[0] for room in shown.split('; ')} == set(ROOMS)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_only_rooms_below_it(room):
    allowed = ROOMS[room] | FOUNDATION | {room}
    above = {
        f'{module} imports {other}'
        for module, others in imports().items()
        for other in others
        # `from madnet import __version__` is all that a room takes from the package itself
        if room_of(module) == room and room_of(other) not in allowed and other != 'madnet'
    }
    assert not above


def test_the_foundation_stands_on_nothing():
    for name in sorted(FOUNDATION):
        assert {room_of(other) for other in imports()[f'madnet.{name}']} <= FOUNDATION


def test_every_module_belongs_somewhere():
    known = {*ROOMS, *FOUNDATION, *GATHERERS, ''}
    assert {room_of(name) for name in modules()} <= known


def test_modules_make_no_circle():
    """Not even by imports inside functions; raises CycleError, which names the circle."""
    graph = {name: {other for other in others if other != 'madnet'} for name, others in imports().items()}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(modules())


def test_blocks_of_a_network_serve_that_network_alone():
    layers = modules()['madnet.models.layers']
    owner = {
        alias.name: node.module.rpartition('.')[2].removesuffix('_blocks')
        for node in ast.walk(layers)
        if isinstance(node, ast.ImportFrom) and node.module.endswith('_blocks')
        for alias in node.names
    }
    owner = {block: network for block, network in owner.items() if network != 'conv'}
    assert {'madnet', 'mim', 'repisd'} <= set(owner.values())
    used = 0
    for name, tree in modules().items():
        if name == 'madnet.models.layers' or not name.startswith('madnet.models.'):
            continue
        stem = name.rpartition('.')[2]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('madnet.models.layers'):
                foreign = [
                    alias.name
                    for alias in node.names
                    if alias.name in owner
                    and OTHER_NAMES.get(stem, stem.partition('_')[0]) != owner[alias.name]
                ]
                assert not foreign, f'{name} uses {foreign}: give what several networks use a file of its own'
                used += sum(alias.name in owner for alias in node.names)
    assert used > 20
