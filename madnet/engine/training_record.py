"""How a checkpoint came to be, for the record of its test: read from what training wrote into it."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mmengine.config import Config, ConfigDict

from madnet.datasets.seen import TrainedPart, part_of_config, parts_of_entry, parts_of_record
from madnet.datasets.wrappers import sets_of, validation_split
from madnet.engine.checkpoint import BEST_BY, HASHES, STOPPED, meta_of
from madnet.engine.checkpoint_file import BEFORE, SCHEME, find_checkpoint, is_registered, read_checkpoint
from madnet.engine.config.static_config import leaves
from madnet.engine.config.steps import image_loaders
from madnet.engine.config.value_ranges import TrainedSet, value_range_of
from madnet.engine.resuming import hooks_of, values_of
from madnet.errors import UserError
from madnet.files import sha256_of
from madnet.images.notices import say_once
from madnet.records.pretrained_index import get_pretrained, registered_as

#: Keys of a config that make a recipe; runs that differ in none of them differ in the seed at most.
_RECIPE = ('model', 'train_dataloader', 'val_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
#: What changes how fast data come, and nothing else.
_SPEED = {'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'cache', 'data_root'}


def training_of(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Seed, recipe and choice of the epoch of a checkpoint of ours.

    The config in it is parsed, not run: a checkpoint may come from anywhere.

    Args:
        checkpoint: As it was read.

    Returns:
        What :class:`madnet.records.TrainingInfo` holds; None where the checkpoint does not say.
    """
    meta, cfg = meta_of(checkpoint), _config_in(checkpoint)
    try:
        epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
        optimizer = cfg['optim_wrapper']['optimizer']
        minutes = cfg['train_cfg'].get('minutes')
        length = f'{epochs} epochs' if minutes is None else f'{minutes:g} min'
        words = f'{length}, batches of {cfg["train_dataloader"]["batch_size"]}, {optimizer["type"]}'
        words += f' at rate {optimizer["lr"]:g}' if 'lr' in optimizer else ''
        choice = _choice(cfg, meta, epochs)
        digests = {k: _digest(part) for k, part in _recipe(cfg).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # of another program
    return {
        'seed': meta.get('seed'),
        'recipe': words + (', from given weights' if cfg.get('load_from') else ''),
        'epoch': choice,
        'stopped': str(meta[STOPPED]) if STOPPED in meta else None,
        'digests': digests | {'load_from': str(bool(cfg.get('load_from')))},
    }


def _recipe(cfg: Mapping[str, Any]) -> dict[str, Any]:
    saver = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    chosen_by = {k: saver[k] for k in ('save_best', 'rule', 'best_from') if k in saver}
    hooks = hooks_of(cfg)
    hooks['TeacherHook'] = [{**h, 'teacher': _registered(h.get('teacher'))} for h in hooks['TeacherHook']]
    return {**{k: cfg.get(k) for k in _RECIPE}, **hooks, 'default_hooks.checkpoint': chosen_by}


def _registered(weights: Any) -> Any:
    """Weights of the registry by name; of files whether there are any, for each seed may have its own."""
    return weights if is_registered(str(weights)) else bool(weights)


def trained_on(checkpoint: Mapping[str, Any] | None) -> list[TrainedSet]:
    """The data sets that a checkpoint of ours was trained on; none where it does not say."""
    try:
        return [TrainedSet.of(ConfigDict(d)) for d in _training_sets(_config_in(checkpoint))]
    except UserError:  # of another program, or damaged
        return []


def read_as_trained(cfg: Config, checkpoint: Mapping[str, Any] | None) -> None:
    """Let frames be read by the value range that weights were trained with, where that was one for all sets
    and the config, which need not be the training's, has none."""
    reading = ConfigDict(pipeline=cfg.get('test_pipeline'))
    reading.update(*sets_of(cfg, 'test_dataloader')[:1])
    ranges = [*{each.value_range for each in trained_on(checkpoint)}]
    loader = next(iter(image_loaders(reading)), None)
    if len(ranges) == 1 and ranges[0] and loader and value_range_of(reading) is None:
        loader.value_range = ranges[0]
        say_once(f'frames are read by the value range of the training, {ranges[0][0]:g} to {ranges[0][1]:g}')


def training_parts(
    checkpoint: str | os.PathLike | None,
    content: Mapping[str, Any] | None = None,
    later: tuple[str, ...] = (),
) -> list[TrainedPart]:
    """What weights were trained on, those that their training began with too, as far as that is recorded;
    a line says so where a file is gone that would tell.

    Args:
        checkpoint: A file, or a name of the registry.
        content: As it was read; None to read it.
        later: Checkpoints whose trainings began, one after the other, with this one.
    """
    name = str(checkpoint)
    if checkpoint is None or name in later:
        return []
    if is_registered(name):
        return parts_of_entry(get_pretrained(name.removeprefix(SCHEME)))
    try:
        known = registered_as(sha256_of(find_checkpoint(name)))
        content = {} if known else read_checkpoint(name) if content is None else content
    except (OSError, UserError):
        if '://' not in name:  # else of a public network
            say_once(f'what {name} was trained on is not known: it cannot be read here')
        return []
    meta, cfg = meta_of(content), _config_in(content)
    sets, hashes = _training_sets(cfg), meta.get(HASHES)
    each = hashes if isinstance(hashes, list) and len(hashes) == len(sets) else [None] * len(sets)
    found = (part_of_config(s, f'the config in {name}', h) for s, h in zip(sets, each, strict=True))
    if BEFORE in meta:
        before = parts_of_record(meta[BEFORE])
    else:  # of an older training or export
        before = parts_before(cfg, (*later, name)) or parts_of_origin(meta.get('origin'), (*later, name))
    return [*parts_of_entry(known), *filter(None, found), *before]


def parts_before(cfg: Mapping[str, Any], later: tuple[str, ...] = ()) -> list[TrainedPart]:
    """What the weights were trained on that a training's config names: those that it loads, those that parts
    of its network begin with, and its teacher's."""
    found: list[TrainedPart] = []
    for name in dict.fromkeys(named_weights(cfg).values()):
        found += [part for part in training_parts(name, later=later) if part not in found]
    return found


def parts_of_origin(origin: Any, later: tuple[str, ...] = ()) -> list[TrainedPart]:
    """What a network was trained on that another file was made of, by the ``sha256`` and the path of its
    ``checkpoint``; a line says so where another file lies there by now."""
    origin = origin if isinstance(origin, Mapping) else {}
    sha256, checkpoint = origin.get('sha256'), origin.get('checkpoint')
    known = registered_as(sha256)
    if known or checkpoint is None:
        return parts_of_entry(known)
    with suppress(OSError, UserError):  # of which there is a line below
        if sha256_of(find_checkpoint(str(checkpoint))) != sha256:
            say_once(f'what {checkpoint} was trained on is not known: another file lies there by now')
            return []
    return training_parts(checkpoint, later=later)


def named_weights(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key → file or name of the weights that a training's config begins with or learns from."""
    named = ((key, value) for key, value in leaves(cfg) if value and _names_weights(key))
    return {key: value for key, value in named if isinstance(value, str)}  # not pretrained=True


def _names_weights(key: str) -> bool:
    part, _, last = key.rpartition('.')
    if part.startswith(('custom_hooks.', 'default_hooks.')):
        return last == 'teacher'
    begins = last == 'pretrained' or (last == 'checkpoint' and 'init_cfg' in part.split('.'))
    return key == 'load_from' or (key.startswith('model.') and begins)


def _training_sets(cfg: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    try:
        return [d for d in sets_of(cfg, 'train_dataloader') if isinstance(d, Mapping)]
    except (AttributeError, TypeError):
        return []


def _config_in(checkpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    """The config that training wrote into a checkpoint; empty where there is none that can be read."""
    text = meta_of(checkpoint).get('cfg')
    try:
        return values_of(text) if isinstance(text, str) else {}
    except (RecursionError, SyntaxError, TypeError, ValueError):
        return {}


def _choice(cfg: Mapping, meta: Mapping, epochs: int | None) -> str:
    minutes = (cfg.get('train_cfg') or {}).get('minutes')
    epoch = f'epoch {meta.get("epoch")}' + ('' if minutes is not None else f' of {epochs}')
    saver = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best_by = saver.get('save_best', BEST_BY)
    if best_by not in meta:
        return f'{epoch}, chosen by nothing'
    return f'{epoch}, the best {best_by} on {validation_split(sets_of(cfg, "val_dataloader"))!r}'


def _digest(value: Any) -> str:
    text = json.dumps(_without_speed(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_speed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_speed(v) for k, v in value.items() if k not in _SPEED}
    return [_without_speed(v) for v in value] if isinstance(value, list) else value
