"""Reading a config file, and completing it."""

import ast
import inspect
import os
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from madnet.config_files import find_base, find_config_file
from madnet.datasets.catalogue import get_entry
from madnet.datasets.sources import find_sources
from madnet.datasets.wrappers import sets_of
from madnet.engine.checkpoint_file import is_registered
from madnet.engine.config.checking import check_config
from madnet.engine.config.dataset import (
    check_split_sets,
    choose_parts,
    fill_sets,
    fill_statistics,
    fix_folders,
    leaves_sets_open,
    refuse_named_sets,
)
from madnet.engine.config.per_dataset import merge_over_base
from madnet.engine.config.shipped import shipped_config
from madnet.engine.config.static_config import StaticConfig
from madnet.engine.config.steps import LOADERS, check_channels, replace_steps
from madnet.engine.config.value_ranges import TrainedSet, fill_reading, fix_value_range, say_other_data
from madnet.errors import UserError, nearest
from madnet.images.notices import say_once

#: Keys that loading understands and resolves.
OURS = (
    *('dataset', 'data_root', 'selection', 'split_set', 'base_size', 'per_dataset', 'replace_steps'),
    *('value_range', 'mask_values', 'module_folders'),
)

#: Held while mmengine's class reads in our way, which otherwise a reading in another thread would keep.
_READING = threading.RLock()

#: Keys that a Runner reads, as arguments or from its config.
RUNNERS = {
    *inspect.signature(Runner.__init__).parameters,
    *('runner_type', 'custom_imports', 'compile', 'model_wrapper_cfg', 'find_unused_parameters', 'sync_bn'),
    *('activation_checkpointing', 'efficient_conv_bn_eval', 'channels_last', 'capture_step', 'device_cache'),
    'loader_timeout',
} - {'self', 'cfg'}

#: Default hooks of mmengine, which it leaves out where a config sets them to None.
_MMENGINES_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')

#: What single values alone do not make.
_IN_WHOLE = {
    *('train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg'),
    *('optim_wrapper', 'param_scheduler'),
}

_DICT, _TEXT = (dict, 'a dict'), (str, 'a text')
#: Key → the type of its value, where one is given, and what it is called.
_TYPES: dict[str, tuple[Any, str]] = {
    'dataset': ((str, os.PathLike, list, tuple), 'a name, a folder, or a list of those'),
    'split_set': _TEXT,
    **dict.fromkeys(('per_dataset', 'replace_steps', 'model', 'randomness', *LOADERS), _DICT),
}
_TYPES_IN_MODEL = {
    'type': ((str, type), 'a name'),
    **dict.fromkeys(('backbone', 'data_preprocessor', 'test_cfg'), _DICT),
}
_TYPES_IN_SETS = {'split_set': _TEXT, 'data_root': ((str, os.PathLike), 'a folder')}

#: Helper variables in customary use in mmseg's own config files.
CUSTOMARY = {
    *('crop_size', 'img_scale', 'img_ratios', 'img_norm_cfg', 'norm_cfg', 'dataset_type'),
    *('num_classes', 'class_weight', 'metainfo', 'pretrained', 'checkpoint', 'checkpoint_file', 'runner'),
    *('vis_backends', 'optimizer', 'custom_keys', 'tta_model', 'dataset_train', 'dataset_aug', 'iters'),
    *('backbone_norm_cfg', 'ham_norm_cfg', 'backbone_norm_multi', 'backbone_embed_multi', 'embed_multi'),
    *('num_stages', 'conv_kernel_size', 'depths', 'train_img_scale', 'val_img_scale', 'test_img_scale'),
}


def load_config(
    path: str | os.PathLike,
    options: Mapping[str, Any] | None = None,
    dataset: str | list[str] | None = None,
    statistics: Mapping[str, list[float]] | None = None,
    trained_on: Sequence[TrainedSet] = (),
) -> Config:
    """Read a config file and resolve all that is said in short in it.

    Changes come in this order: the file, what its ``per_dataset`` says of the data set (a base's gives way to
    what the file says itself), the options, and last its ``replace_steps``.

    Args:
        path: A config file or its name (:mod:`madnet.config_files`); or the name of shipped weights, for a
            test, which goes before the config's.
        options: Dotted keys and values that override it, as from ``--cfg-options``.
        dataset: A name of the catalogue, a folder, or a list of those; None for the file's ``dataset``.
        statistics: ``mean`` and ``std`` that a checkpoint was trained with, which take the place of the data
            set's where the config leaves them open.
        trained_on: The data sets that it was trained on, by whose value ranges they are read again;
            one line says so, and names them where others are tested.

    Returns:
        The static config, in which every set says which it is and which part of it, with mean and deviation
        of the training images, and ``work_dir`` (default ``work_dirs/<name of the file>_<data set>``).
        ``module_folders`` says where modules of ``custom_imports`` lie that Python alone would not find.
        Loading it again changes nothing.

    Raises:
        UserError: No such file (the nearest names are offered), or what it says is not right.
    """
    path = path if is_registered(path) else find_config_file(path)
    cfg = _read(Path(path))
    _note_module_folders(cfg, Path(path))
    options = dict(options or {})
    named = ('dataset', 'data_root', 'per_dataset')
    first = {k: options.pop(k) for k in [*options] if k.partition('.')[0] in named}
    if dataset is not None:
        first['dataset'] = dataset
    _merge(cfg, first)
    _check_shape(cfg, str(path))
    # a folder of one's own, over a base's data set; in mmseg's configs a helper variable for their own sets
    if first.get('dataset') is None and isinstance(cfg.get('data_root'), str) and leaves_sets_open(cfg):
        cfg.dataset = cfg.data_root
    if first.get('dataset') is not None:
        refuse_named_sets(cfg, str(path))
    sources = find_sources(cfg.get('dataset'))
    if is_registered(path) and not sources:
        raise UserError(f'{path}: shipped weights; say on which data, such as --dataset nudt or a folder.')
    if len(sources) == 1:
        for name, changes in (cfg.get('per_dataset') or {}).items():
            if get_entry(name) is sources[0].entry:
                # of a whole data set, it is about what bases say of that: none did
                cfg._cfg_dict.merge({k: v for k, v in (changes or {}).items() if k != '_delete_'})
    before = set(cfg)
    _refuse_without_effect(options, before)
    _merge(cfg, options)
    _check_shape(cfg, str(path))
    _check_keys(cfg, options, before, str(path))
    _leave_hooks_out(cfg)
    if cfg.get('randomness'):
        cfg.randomness.setdefault('seed', None)  # which mmengine wants said
    replace_steps(cfg)
    filled = fill_sets(cfg, sources)
    fill_reading(cfg, options)
    choose_parts(cfg)
    for loader in ('val_dataloader', 'test_dataloader'):
        if cfg.get(loader):  # each image once, which mmengine wants said
            cfg[loader].setdefault('sampler', {'type': 'DefaultSampler', 'shuffle': False})
    text = '' if is_registered(path) else Path(path).read_text(encoding='utf-8')
    check_config(cfg, str(path), f'{text} {first} {options}')
    fix_folders(cfg)
    check_split_sets(cfg)
    check_channels(cfg)
    fix_value_range(cfg, trained_on)
    say_other_data(cfg, trained_on)
    fill_statistics(cfg, str(path), statistics)
    short = '+'.join(s.short for s in sources) if filled else ''
    # a classical detector's runs are told apart by its method, all of them have one config
    method = (cfg.get('model') or {}).get('method')
    stem = method if isinstance(method, str) else Path(path).stem
    cfg.setdefault('work_dir', str(Path('work_dirs', _run_name(stem, short))))
    # without a test's data, prediction reads images by the pipeline alone
    kept = {*RUNNERS, 'module_folders', *(() if cfg.get('test_dataloader') else ('test_pipeline',))}
    return StaticConfig({k: v for k, v in cfg.items() if k in kept}, cfg.text, cfg.filename)


def _run_name(stem: str, short: str) -> str:
    """``acm_nudt`` for acm.py on NUDT-SIRST; madnet_nudt.py on it keeps its name."""
    return f'{stem}_{short}' if short and not stem.endswith(f'_{short}') else stem


def _read(path: Path) -> Config:
    if is_registered(path):
        return shipped_config(str(path))
    if path.suffix.lower() != '.py':
        raise UserError(
            f'config {path}: found the ending {path.suffix!r}, expected .py: configs are written in Python.'
        )
    try:
        with _READING, _standing_on_bases(), _looking_in(_places_of_modules(path)):
            cfg = Config.fromfile(str(path), import_custom_modules=False, lazy_import=False)
        _import_modules(cfg, _places_of_modules(path, cfg.get('module_folders', ())))
        return cfg
    except UserError as e:  # of what it stands on
        raise UserError(f'config {path}: {e}') from None
    except Exception as e:
        raise UserError(f'config {path}: cannot be read: {type(e).__name__}: {e}') from None


def _import_modules(cfg: Config, places: list[str]) -> None:
    if cfg.get('custom_imports'):
        try:
            with _looking_in(places):
                import_modules_from_strings(**cfg.custom_imports)
        except ImportError as e:
            reason = e.__context__ or e  # mmengine says only which module it was
            raise UserError(
                f'custom_imports: {e}: {reason}; looked in {", ".join(places)} (module_folders, beside the '
                'config, the current folder) and where Python looks (PYTHONPATH).'
            ) from None


@contextmanager
def _looking_in(places: list[str]) -> Iterator[None]:
    """Let modules be imported from these folders, after all where Python looks.

    A folder from which something was imported stays at the end of the search path: processes that load images
    may have to import it again.
    """
    places = [p for p in places if p not in sys.path]
    before = set(sys.modules)
    sys.path.extend(places)
    try:
        yield
    finally:
        new = [(name.partition('.')[0], _file_of(sys.modules[name])) for name in set(sys.modules) - before]
        for place in places:
            if not any(f.startswith(tuple(os.path.join(place, n) + end for end in './')) for n, f in new):
                sys.path.remove(place)


def _file_of(module: Any) -> str:
    """Where a module lies; empty where it does not say, as one of Python itself."""
    found = getattr(module, '__file__', None)
    return found if isinstance(found, str) else ''


def _places_of_modules(config: Path, own: Any = ()) -> list[str]:
    """Where a config's modules may lie: in its own ``module_folders``, beside it, in the current folder."""
    if not isinstance(own, (list, tuple)) or not all(isinstance(folder, str) for folder in own):
        raise UserError(f'module_folders: found {own!r}, expected a list of folders.')
    beside = str(config.resolve().parent)
    folders = (os.path.normpath(os.path.join(beside, folder)) for folder in own)
    return [*dict.fromkeys((*folders, beside, os.getcwd()))]


def _note_module_folders(cfg: Config, config: Path) -> None:
    """Keep in the config where its modules lie, as a run saves it elsewhere.

    A module that is another than the one there is refused, and so is one that it imports: what was imported
    before, the standard library and installed packages go first.
    """
    imports = (cfg.get('custom_imports') or {}).get('imports') or ()
    own = cfg.pop('module_folders', ())
    places, folders = _places_of_modules(config, own), []
    looks = dict.fromkeys([imports] if isinstance(imports, str) else imports, places)
    for name in (left := [*looks]):
        stem = name.replace('.', '/')
        files = [(p, Path(p, file)) for p in looks[name] for file in (f'{stem}/__init__.py', f'{stem}.py')]
        wanted = [(p, f) for p, f in files if f.is_file() and f.resolve() != config.resolve()]
        if not wanted or name not in sys.modules or name.partition('.')[0] == 'madnet':
            continue
        place, file = wanted[0]
        found = _file_of(sys.modules[name])
        if looks[name] is not places and _is_installed(found):
            continue  # a library whose sources lie beside the config as well
        if not found or not _is_same(Path(found), file, place):
            raise UserError(
                f'config {config}: custom_imports: {name}: found {found or "that of Python itself"}, '
                f'expected {file}; a process has one module of a name: give one of them another name.'
            )
        if own and place not in places[: len(own)]:
            say_once(f'config {config}: custom_imports: {file} is taken, as {", ".join(own)} has none')
        folders.append(place)
        helpers = _imported_by(file) - {*looks}
        looks |= {helper: [place] for helper in helpers}
        left.extend(sorted(helpers))
    if folders:
        cfg.module_folders = [*dict.fromkeys(folders)]


def _is_installed(file: str) -> bool:
    """Whether a module is of Python or of an installed package."""
    paths = sysconfig.get_paths()
    return not file or Path(file).is_relative_to(paths['stdlib']) or 'site-packages' in Path(file).parts


def _imported_by(file: Path, package: str | None = None) -> set[str]:
    """Names of the modules that a file imports; those that it names from its own ``package``, where that is
    given."""
    parts = [*ast.walk(ast.parse(file.read_bytes()))]
    names = {alias.name for part in parts if isinstance(part, ast.Import) for alias in part.names}
    for part in parts:
        if isinstance(part, ast.ImportFrom) and (package or not part.level):
            with suppress(ImportError):  # beyond the package, where it may be tried
                module = resolve_name('.' * part.level + (part.module or ''), package)
                names |= {module, *(f'{module}.{alias.name}' for alias in part.names)}
    return names


def files_of_modules(settings: Mapping) -> list[Path]:
    """The files of a config's ``custom_imports``, and of what they import, that this process has read;
    without Python's own, installed packages and ours."""
    imports = (settings.get('custom_imports') or {}).get('imports') or ()
    found: dict[str, Path] = {}
    for name in (left := [imports] if isinstance(imports, str) else [*imports]):
        module = sys.modules.get(name)
        file = _file_of(module)
        if name in found or _is_installed(file) or name.partition('.')[0] == 'madnet':
            continue
        found[name] = Path(file)
        left.append(name.rpartition('.')[0])  # which is read with it
        if file.endswith('.py'):
            with suppress(SyntaxError):  # it is being edited
                left.extend(_imported_by(found[name], getattr(module, '__package__', None)))
    return [*found.values()]


def _is_same(found: Path, wanted: Path, place: str) -> bool:
    """Whether a module, and all that was imported from its folder, is the same as in the folder wanted."""
    parts = wanted.relative_to(place).parts
    if found.parts[-len(parts) :] != parts:
        return found.resolve() == wanted.resolve()
    folder = found.parents[len(parts) - 1]
    files = [f for f in map(Path, map(_file_of, [*sys.modules.values()])) if f.is_relative_to(folder)]
    pairs = [(file, place / file.relative_to(folder)) for file in files]
    return all(f.is_file() and f.read_bytes() == o.read_bytes() for f, o in pairs if o.is_file())


@contextmanager
def _standing_on_bases() -> Iterator[None]:
    """Let ``_base_`` name a config of the package, wherever a file lies, and refuse circles; and let what a
    file says beat its bases' ``per_dataset``."""
    plain, plain_merge = Config._get_cfg_path, Config._merge_a_into_b
    above: dict[str, str] = {}  # a base → the file that stands on it, of those being read

    def path_of(name: str, config: str) -> tuple[str, str | None]:
        if '::' in name:
            return plain(name, config)
        found = os.path.abspath(find_base(name, Path(config).parent))
        way = [found, config]
        while way[-1] in above:
            way.append(above[way[-1]])
        if found in way[1:]:
            circle = ' → '.join(way[way.index(found, 1) :: -1])
            raise UserError(f'_base_: found a circle, {circle}; one of these must stand on another file.')
        above[found] = config
        return found, None

    Config._get_cfg_path = staticmethod(path_of)
    Config._merge_a_into_b = staticmethod(merge_over_base)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(plain)
        Config._merge_a_into_b = staticmethod(plain_merge)


def _merge(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge options one by one, so that a wrong one can be named; what is deleted goes first, for the others
    come in its place, the outer before the inner."""
    deletes = [o for o, value in options.items() if o.endswith('._delete_') and value is True]
    for option in [*sorted(deletes, key=lambda o: o.count('.')), *(o for o in options if o not in deletes)]:
        try:
            if option in deletes:
                _empty(cfg, option.removesuffix('._delete_'))
            else:
                cfg.merge_from_dict({option: options[option]})
        except (AttributeError, IndexError, KeyError, TypeError):
            raise UserError(f'option {option}: {_misfit(cfg, option)}') from None


def _empty(cfg: Config, key: str) -> None:
    # mmengine deletes nothing in lists and of what is missing, where _delete_ would stay as an argument
    *way, last = key.split('.')
    holder: Any = cfg._cfg_dict
    for part in way:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    holder[int(last) if isinstance(holder, list) else last] = ConfigDict()


def _misfit(cfg: Config, option: str) -> str:
    """Why an option cannot be merged, and what can be."""
    value: Any = cfg._cfg_dict
    way: list[str] = []
    for part in option.split('.'):
        key, rest = '.'.join(way), option.split('.')[len(way) :]
        if isinstance(value, list):
            items = f'{key} is a list of {len(value)}'
            if not part.isdigit():
                return f'{items}: say which, from 0, such as {".".join([*way, "0", *rest])}.'
            if int(part) >= len(value):
                return f'{items}, counted from 0: found {part}.'
        elif value is None:
            return f'{key} is None: add {key}._delete_=True, by which its parts take its place.'
        elif not isinstance(value, Mapping):
            return f'{key} is {value!r}, which has no parts: set it as a whole, {key}=VALUE.'
        elif part not in value:
            break
        value = value[int(part)] if isinstance(value, list) else value[part]
        way.append(part)
    if not isinstance(value, (Mapping, list)):  # one of plain values
        return f'an item alone cannot be set: set all, {".".join(way[:-1])}=[VALUE,VALUE].'
    return 'a part of a list takes single values, LIST.0.KEY=VALUE; a file says the rest.'


def _check_shape(cfg: Config, where: str) -> None:
    # what is looked into before the check against registries and signatures
    _check_types(cfg, _TYPES, f'config {where}: ')
    by_set = cfg.get('per_dataset') or {}
    _check_types(by_set, dict.fromkeys(by_set, _DICT), f'config {where}: per_dataset.')
    if cfg.get('model') is not None:
        _check_types(cfg.model, _TYPES_IN_MODEL, f'config {where}: model.')
    for key in [key for key in LOADERS if cfg.get(key) is not None]:
        sets = cfg[key].get('dataset')
        if not isinstance(sets, dict):
            raise UserError(f'config {where}: {key}.dataset: found {sets!r}, expected a dict.')
        for dataset in sets_of(cfg, key):
            _check_types(dataset, _TYPES_IN_SETS, f'config {where}: {key}.dataset: ')


def _check_types(values: Mapping, types: Mapping[str, tuple[Any, str]], where: str) -> None:
    for key, (kind, words) in types.items():
        if values.get(key) is not None and not isinstance(values[key], kind):
            raise UserError(f'{where}{key}: found {values[key]!r}, expected {words}.')


def _leave_hooks_out(cfg: Config) -> None:
    # None leaves one of mmengine's out; of others mmengine would build it
    hooks = cfg.get('default_hooks')
    if isinstance(hooks, dict):
        for name in [n for n, hook in hooks.items() if hook is None and n not in _MMENGINES_HOOKS]:
            del hooks[name]


def require_parts(cfg: Config, keys: Iterable[str], where: str, purpose: str) -> None:
    """Refuse a config that lacks a part.

    Args:
        cfg: The config.
        keys: The parts.
        where: The config's file, for the error.
        purpose: What they are for, such as ``'a test'``.

    Raises:
        UserError: One is missing, or None.
    """
    missing = [key for key in keys if cfg.get(key) is None]
    if missing:
        raise UserError(
            f'config {where}: has no {", ".join(missing)}, which {purpose} needs; a whole config begins with '
            '_base_ or holds them, as those in configs/ do (those in configs/_base_ are parts of others).'
        )


def _refuse_without_effect(options: dict[str, Any], there: set[str]) -> None:
    """Refuse options on what a file copies into other keys when it is read, and on single values of what a
    config without a training lacks altogether."""
    for option in options:
        key = option.partition('.')[0]
        if key in ('custom_imports', 'module_folders', 'runner_type'):
            raise UserError(f'option {option}: only the config file itself says {key}; set it there.')
        if key.endswith('_pipeline'):
            raise UserError(
                f'option {option}: no data set reads {key}, only the config file itself. One step: '
                'replace_steps.RandomTargetCrop.size=96, by its name; all: '
                f'{key.removesuffix("_pipeline")}_dataloader.dataset.pipeline.'
            )
        if key.startswith('_') or (key in there and key not in {*OURS, *RUNNERS}):
            raise UserError(f'option {option}: only the config file itself reads {key}; set it there.')
        if key in _IN_WHOLE and '.' in option and key not in there:
            raise UserError(f'option {option}: the config has no {key} of which this is a part.')


def _check_keys(cfg: Config, options: dict[str, Any], before: set[str], where: str) -> None:
    # a config that stands on none of ours, as those of mmseg, may hold helpers of any name
    theirs = before if 'selection' not in before else set()
    for key in cfg:
        # a helper variable that only the options have would have no effect
        known = {*OURS, *RUNNERS, *(CUSTOMARY if key in before else ())}
        if key not in {*known, *theirs} and not key.startswith('_') and not key.endswith('_pipeline'):
            given = next((k for k in options if k.partition('.')[0] == key), None)
            raise UserError(
                (f'option {given}: ' if given else f'config {where}: ')
                + f'no key {key!r} is known.'
                + f'{nearest(key, known)} A helper variable begins with an underscore.'
            )
