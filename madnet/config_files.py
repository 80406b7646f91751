"""Where config files are: those of the working directory, and those that come with the package."""

import os
from pathlib import Path

from madnet.errors import UserError, nearest

#: In a checkout ``configs/`` beside the package, in an installation within it.
SHIPPED = Path(__file__).parent / 'configs'
if not SHIPPED.is_dir():
    SHIPPED = SHIPPED.parents[1] / 'configs'
#: What files of weights that belong to a config end with.
WEIGHTS = ('.pth', '.pt', '.tar', '.ckpt')


def config_folders() -> list[Path]:
    """The folders of configs: ``configs`` in the working directory, where there is one, goes first."""
    own = Path('configs')
    return [*([own] if own.is_dir() else []), *([] if own.is_dir() and own.samefile(SHIPPED) else [SHIPPED])]


def config_names() -> dict[str, Path]:
    """Name → config file, such as ``'acm_published'`` for ``configs/acm/acm_published.py``."""
    found: dict[str, Path] = {}
    for folder in config_folders():
        for path in sorted(folder.rglob('*.py')):
            if '_base_' not in path.parts:
                found.setdefault(path.stem, path)
    return found


def find_base(name: str, folder: Path) -> Path:
    """The file that ``_base_`` of a config in ``folder`` means: one beside that config, or else one of the
    package, by its path within ``configs/`` (whatever ``../`` stand before it) or by its name, or else one of
    the user's own ``configs/`` by its name."""
    beside = folder / name
    if beside.is_file():
        return beside
    there = SHIPPED.joinpath(*(part for part in Path(name).parts if part not in ('.', '..')))
    if there.is_file():
        return there
    named = (p for p in sorted(SHIPPED.rglob('*.py')) if p.stem == name and '_base_' not in p.parts)
    return next(named, None) or config_names().get(name, beside)


def find_config_file(path: str | os.PathLike) -> Path:
    """The config file that a path or a name stands for.

    Args:
        path: A file, which goes before a name; a name, such as ``'madnet_nudt'``; or
            ``configs/madnet_nudt.py``, which is found where no such folder is, too.

    Raises:
        UserError: There is none; the nearest are offered.
    """
    path = Path(path)
    if path.is_dir() and path.name not in config_names():
        raise UserError(f'config {path}: is a folder, expected a config file such as configs/madnet_nudt.py.')
    if path.is_file():
        return path
    if path.parts[:1] == ('configs',) and (there := SHIPPED.joinpath(*path.parts[1:])).is_file():
        return there  # as documents name it, wherever one is
    names = config_names()
    if path.name == str(path) and path.name in names:
        return names[path.name]
    files = {str(p) for p in [*names.values(), *path.parent.glob('*.py')] if not p.is_relative_to(SHIPPED)}
    hint = (path.suffix and nearest(str(path), files)) or nearest(path.stem, names)
    raise UserError(f'config {path}: no such file, and no name of one (madnet train --list has all).{hint}')


def config_and_weights(
    config: str | os.PathLike, checkpoint: str | os.PathLike | None = None
) -> tuple[str, str | os.PathLike | None]:
    """A config and its weights, where a training's folder, or weights beside their config, stand for both.

    Args:
        config: A folder: the one config in it and, without a ``checkpoint``, its ``best.pth``, or else its
            ``last.pth``. A file of :data:`WEIGHTS`: the one config beside it. Anything else is left as it is.
        checkpoint: The weights, where they are named.

    Raises:
        UserError: Beside the weights there is not exactly one config, or ``checkpoint`` names others.
    """
    config, path = str(config), Path(config)
    if path.suffix.lower() in WEIGHTS and path.is_file():
        weights, what = [path], 'these are weights'
        if checkpoint is not None:
            raise UserError(f'{config}: these are weights, expected a config before {checkpoint}.')
    else:
        weights, what = [p for p in (path / 'best.pth', path / 'last.pth') if p.is_file()], 'is a folder'
    if not weights or config in config_names():
        return config, checkpoint
    found = sorted(weights[0].parent.glob('*.py'))
    if len(found) != 1:
        names = f' ({", ".join(p.name for p in found)})' if found else ''
        raise UserError(
            f'{config}: {what}; beside weights expected one config, found {len(found)}{names}; name the '
            f'config first: CONFIG {weights[0]}'
        )
    return str(found[0]), str(weights[0]) if checkpoint is None else checkpoint
