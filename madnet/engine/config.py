"""Experiments as configs: read, checked, completed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mmengine.registry
import mmseg.registry
from mmengine.config import Config

from madnet.datasets.wrappers import inner_datasets
from madnet.errors import UserError, nearest

SELECTIONS = {
    # which part trains, which part chooses best.pth
    'val': ('fit', 'val'),
    'test': ('trainval', 'test'),
    'last': ('trainval', None),
}


def load_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config file and complete it.

    Args:
        path: A config file.
        options: Dotted keys and values that override it, as from ``--cfg-options``.

    Returns:
        The config, with ``work_dir`` (default ``work_dirs/<name of the file>``) and the parts of the data
        set that ``selection`` names: ``'val'`` trains on one part and chooses the best epoch on another,
        ``'test'`` is the published way (best epoch on the test images), ``'last'`` trains on all training
        images and keeps the last epoch.

    Raises:
        UserError: No such file (the nearest names are offered), or the file can't be read as a config.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f'config {path}: is a folder, expected a config file such as configs/madnet_nudt.py.')
    if not path.is_file():
        known = {
            str(p)
            for p in [*Path('configs').rglob('*.py'), *path.parent.glob('*.py')]
            if '_base_' not in p.parts
        }
        by_stem = {Path(p).stem: p for p in known}
        hint = nearest(str(path), known) or nearest(path.stem, by_stem)
        raise UserError(f'config {path}: no such file.{hint}')
    try:
        cfg = Config.fromfile(str(path), lazy_import=False)
    except Exception as e:
        raise UserError(f'config {path}: can not be read: {type(e).__name__}: {e}') from None
    if options:
        try:
            cfg.merge_from_dict(options)
        except (KeyError, TypeError, IndexError) as e:
            raise UserError(f'--cfg-options: {e}') from None
    cfg.setdefault('work_dir', str(Path('work_dirs') / path.stem))
    _apply_selection(cfg)
    return cfg


def _apply_selection(cfg: Config) -> None:
    if 'selection' not in cfg:
        return
    if cfg.selection not in SELECTIONS:
        raise UserError(
            f'selection: found {cfg.selection!r}, expected one of {", ".join(map(repr, SELECTIONS))}.'
            + nearest(str(cfg.selection), SELECTIONS)
        )
    train, val = SELECTIONS[cfg.selection]
    _choose_split(cfg, 'train_dataloader', train)
    if val is None:
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg[key] = None
        cfg.default_hooks.checkpoint.save_best = None
    else:
        _choose_split(cfg, 'val_dataloader', val)


def _choose_split(cfg: Config, loader: str, split: str) -> None:
    for dataset in inner_datasets(cfg[loader].dataset):
        _choose_split_of(cfg, dataset, loader, split)


def _choose_split_of(cfg: Config, dataset: dict, loader: str, split: str) -> None:
    if dataset.get('type') != 'SIRSTDataset':
        # other sets name their parts themselves, and only the default leaves them to do so
        found = dataset.get('split', 'no split')
        if cfg.selection == 'test' or (cfg.selection == 'last' and found == 'fit'):
            raise UserError(
                f'selection={cfg.selection!r}: {loader}.dataset is a {dataset.get("type")} ({found!r}), '
                "whose parts selection does not know. Keep selection='val', set the splits in the config."
            )
    elif dataset.setdefault('split', split) != split and cfg.selection != 'val':
        raise UserError(
            f'selection={cfg.selection!r} wants {loader}.dataset.split={split!r}, the config sets '
            f'{dataset.split!r}. Remove one of the two.'
        )


@contextmanager
def telling_config_errors(cfg_name: str) -> Iterator[None]:
    """Turns what a failed build raises into one line, where the config is to blame.

    Args:
        cfg_name: Name of the config for the message.

    Raises:
        UserError: See :func:`config_error`.
    """
    try:
        yield
    except (KeyError, TypeError) as e:
        told = config_error(e, cfg_name)
        if told is None:
            raise
        raise told from None


def config_error(error: BaseException, cfg_name: str) -> UserError | None:
    """What a failed build says of the config, or None where the config is not to blame.

    Args:
        error: What building a runner or a part raised.
        cfg_name: Name of the config for the message.

    Returns:
        A one-line error that names an unknown component or argument and the nearest right ones.
    """
    chain = [error]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    for e in reversed(chain):
        if isinstance(e, UserError):
            return e
        text = str(e.args[0]) if e.args else ''
        unknown = re.search(r'(\S+) is not in the (?:\w+::)?([\w ]+?) registry', text)
        if isinstance(e, KeyError) and unknown:
            name, kind = unknown.groups()
            known = _registered(kind)
            return UserError(f'config {cfg_name}: {name!r} is no registered {kind}.{nearest(name, known)}')
        argument = re.search(r"(\S+?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", text)
        if isinstance(e, TypeError) and argument:
            return UserError(
                f'config {cfg_name}: {argument.group(1)} takes no argument {argument.group(2)!r}.'
            )
        missing = re.search(r'(\S+)\.__init__\(\) missing \d+ required .*?: (.*)', text)
        if isinstance(e, TypeError) and missing:
            return UserError(f'config {cfg_name}: {missing.group(1)} needs {missing.group(2)}.')
    return None


def _registered(kind: str) -> set[str]:
    names = set()
    for module in (mmengine.registry, mmseg.registry):
        for registry in vars(module).values():
            if getattr(registry, 'name', None) == kind and hasattr(registry, 'module_dict'):
                names |= set(registry.module_dict)
    return names
