"""What a resumed training may do differently from the one that it goes on with."""

import ast
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from mmengine.config import Config
from mmengine.hooks import ParamSchedulerHook
from mmengine.runner import Runner

from madnet.datasets.catalogue import find_entry
from madnet.datasets.contents import DIGITS, is_same
from madnet.datasets.sources import set_name
from madnet.datasets.wrappers import kind_of, sets_of
from madnet.engine.checkpoint import VALIDATION_HASHES
from madnet.engine.config.static_config import leaves
from madnet.engine.config.steps import is_ours
from madnet.errors import UserError
from madnet.images.values import BY_TYPE

#: Hooks that make a network what it is.
_HOOKS = ('EMAHook', 'TeacherHook')
#: Parts of a config that make a run what it is; its optimiser's state, its schedule and its place in an epoch
#: hold for these alone.
_FIXED = ('model', 'optim_wrapper', 'param_scheduler', 'train_dataloader.batch_size', *_HOOKS)
#: What of them does not touch the training that goes on.
_FREE = ('test_cfg', 'init_cfg', 'pretrained')
#: How training images and masks are read, in whatever set or step that is said.
_READING = ('value_range', 'bit_depth', 'mask_values')
#: Parts of a loader by which images are drawn and augmented.
_DRAW = {'pipeline', 'sampler', 'batch_sampler', 'collate_fn'}
#: What the numbers of a validation depend on, and which of them choose: by others, the best epoch so far and
#: the epochs to come would not compare.
_VALIDATION = (
    *('val_dataloader.dataset', 'val_evaluator', 'val_cfg', 'model.test_cfg'),
    *('default_hooks.checkpoint.save_best', 'default_hooks.checkpoint.rule'),
)


def values_of(text: str) -> dict[str, Any]:
    """The values in the text of a resolved config, such as a checkpoint holds, without running it.

    Returns:
        Top-level key → value; what is no literal, or a ``dict(…)`` of such, stays text.
    """
    statements = (s for s in ast.parse(text).body if isinstance(s, ast.Assign))
    return {s.targets[0].id: _value(s.value) for s in statements if isinstance(s.targets[0], ast.Name)}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {k.arg: _value(k.value) for k in node.keywords}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(k): _value(v) for k, v in pairs if k is not None}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(e) for e in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def hooks_of(values: Mapping) -> dict[str, list[Mapping]]:
    """Type → those hooks of a config that make a network what it is."""
    hooks = [*(values.get('custom_hooks') or []), *(values.get('default_hooks') or {}).values()]
    return {kind: [h for h in hooks if h and kind_of(h) == kind] for kind in _HOOKS}


def _fixed(values: dict, validated: bool, by_hash: bool = True) -> dict[str, Any]:
    """Dotted key → value of all that is to stay the same; of a data set of ours to validate on, its name only
    where its images and masks are not compared ``by_hash``, and its folder never."""
    kinds = {kind: dict(enumerate(found)) for kind, found in hooks_of(values).items()}
    for dataset in filter(is_ours, sets_of(values, 'val_dataloader')):
        name = set_name(dataset)
        entry = find_entry(name)
        if entry and dataset.get('base_size') is None:
            dataset['base_size'] = entry.base_size
        dataset['name'] = None if by_hash else entry.name if entry else name
        for key in ('data_root', 'cache'):
            dataset.pop(key, None)
    fixed = {}
    for key, value in leaves({**values, **kinds}):
        last = key.rpartition('.')[2]
        if last in _READING and value in (None, BY_TYPE):  # which mean what a missing key does
            continue
        reads = key.startswith('train_dataloader.') and last in _READING
        if reads or _is_part(key) or (validated and _is_within(key, _VALIDATION)):
            fixed[key] = value
    return fixed


def _is_part(key: str) -> bool:
    return _is_within(key, _FIXED) and not any(f'.{free}.' in f'{key}.' for free in _FREE)


def _is_within(key: str, parts: Iterable[str]) -> bool:
    return any(key == part or key.startswith(f'{part}.') for part in parts)


_ANEW = (
    'Resuming goes on with the same network, data, optimiser, schedule, batch and validation; start a new '
    'run from its weights with --load-from'
)


def refuse_changes(meta: Mapping, cfg: Config, batches: int, processes: int, where: str) -> None:
    """Compare a run with the one that it is to go on with.

    Args:
        meta: Of the checkpoint.
        cfg: Of the run that is to go on.
        batches: Batches of its epochs.
        processes: Processes that train.
        where: The checkpoint's path, for messages.

    Raises:
        UserError: Something differs that cannot change in mid-run: network, optimiser, schedule, batch,
            average of weights, teacher, reading of images and masks, batches of an epoch, processes, epochs
            that minutes are laid over, once an epoch has been validated the validation and what it chooses
            by, or the epochs become no more than are done.
    """
    minutes, budget = cfg.train_cfg.get('minutes'), meta.get('time budget')
    how = bool(meta.get('validated')), VALIDATION_HASHES in meta
    expected, found = _fixed(values_of(meta.get('cfg', '')), *how), _fixed(values_of(cfg.pretty_text), *how)
    expected.update({k: meta[k] for k in ('batches an epoch', 'processes') if k in meta})
    found.update({k: v for k, v in (('batches an epoch', batches), ('processes', processes)) if k in meta})
    if minutes is not None and budget is not None:
        expected['train_cfg.max_epochs'] = length_of(meta)
        found['train_cfg.max_epochs'] = cfg.train_cfg.max_epochs
    differing = [k for k in {**expected, **found} if expected.get(k) != found.get(k)] if 'cfg' in meta else []
    if differing:
        key, more = differing[0], len(differing) - 1
        raise UserError(
            f'--resume: {key}: found {found.get(key)!r}, expected {expected.get(key)!r}, as in the run of '
            f'{where}' + (f' (and {more} more differ, such as {differing[1]})' if more else '') + '. '
            f'{_ANEW} {where}.'
        )
    if (minutes is None) != (budget is None):
        had = 'goes by epochs' if budget is None else f'has {budget["minutes"]:g} minutes'
        raise UserError(
            f'--resume: --minutes: found {minutes}, but the run of {where} {had}. '
            + ('Leave --minutes out.' if budget is None else f'Add --minutes {budget["minutes"]:g}.')
        )
    if budget is not None:
        if budget['over'] and minutes != budget['minutes']:
            raise UserError(
                f'--resume: --minutes {minutes:g}: the run of {where} has had its {budget["minutes"]:g} '
                f'min, and its decay. Start a new run from its weights with --load-from {where}.'
            )
        return
    planned, length = length_of(meta) or meta['epoch'], cfg.train_cfg.max_epochs
    done = meta['epoch'] - bool(meta.get('validation_due'))  # with the validation
    if length <= done and length != planned:
        raise UserError(
            f'--resume: train_cfg.max_epochs: found {length}, expected {planned}, as in the run of {where}, '
            f'or another number above the {done} that it is done with: nothing would be left to do.'
        )


def changed_draw(meta: Mapping, cfg: Config) -> str:
    """What differs, in how training images are drawn and augmented, from the run of a checkpoint's ``meta``:
    the first dotted key and its values; empty where nothing does."""
    if 'cfg' not in meta:
        return ''
    before, now = (_drawing(values_of(text)) for text in (meta['cfg'], cfg.pretty_text))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if not differing:
        return ''
    more = f' (and {len(differing) - 1} more)' if len(differing) > 1 else ''
    return f'{differing[0]}: {now.get(differing[0])!r} instead of {before.get(differing[0])!r}{more}'


def _drawing(values: dict) -> dict[str, Any]:
    parts = leaves({'train_dataloader': values.get('train_dataloader') or {}})
    drawn = {key: value for key, value in parts if _DRAW & {*key.split('.')}}
    # how images are read may not differ, but for what means the same
    return {key: value for key, value in drawn.items() if key.rpartition('.')[2] not in _READING}


def refuse_other_images(
    part: str,
    files: str,
    recorded: object,
    hashes: Sequence[str],
    where: object,
    warn: Callable[[str], None],
) -> None:
    """Compare the images or masks of a run with those of the one that it is to go on with.

    Args:
        part: Whose they are, such as ``'train_dataloader.dataset'``.
        files: What is compared, such as ``'images'``.
        recorded: What the checkpoint's meta has of them under a key of
            :data:`~madnet.engine.checkpoint.HELD`; anything but a list, as of an older run, is not compared.
        hashes: The same of this run.
        where: The checkpoint's path, for messages.
        warn: Called with one line where masks alone differ, by their bytes: they may hold the same.

    Raises:
        UserError: They are others, or in another order, which is that of the draw.
    """
    if not isinstance(recorded, list):
        return
    if len(recorded) == len(hashes) and False not in map(is_same, recorded, hashes):
        return
    before, now = (Counter(wrap(''.join(map(str, each)), DIGITS)) for each in (recorded, hashes))
    found = (
        f'--resume: {part}: found {now.total()} {files}, of which the run of {where} '
        f'had {(before & now).total()}, expected its {before.total()}, in the same order. '
        'Files are compared by their bytes'
    )
    if files == 'masks':
        warn(
            f'{found}: it goes on with these, which may only have been saved anew. If their targets are '
            f'others, start a new run from its weights with --load-from {where}.'
        )
        return
    raise UserError(f'{found}: if they were only saved anew, put the former ones back. {_ANEW} {where}.')


def still_ended(meta: Mapping, cfg: Config) -> bool:
    """Whether a hook has ended the run of a checkpoint's ``meta``, and a run of ``cfg`` has the same ones."""
    before, now = (values_of(text).get('custom_hooks') for text in (meta.get('cfg', ''), cfg.pretty_text))
    return bool(meta.get('stop_training')) and before == now


def length_of(meta: Mapping) -> int | None:
    """The number of epochs that a checkpoint's run was to have; None where it does not say."""
    return (values_of(meta.get('cfg', '')).get('train_cfg') or {}).get('max_epochs')


def lay_schedule_anew(runner: Runner) -> None:
    """Put the learning rate, and all else that schedulers rule, where a run of the new length has it by now.

    The schedulers are built anew and taken through every step that is behind.
    """
    for group in runner.optim_wrapper.optimizer.param_groups:
        for key in [k for k in group if k.startswith('initial_')]:
            group[key.removeprefix('initial_')] = group[key]
    hook = ParamSchedulerHook()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the optimiser has made no step
        runner.param_schedulers = runner.build_param_scheduler(runner.cfg.param_scheduler)
        batches = len(runner.train_dataloader)
        for step in range(1, runner.iter + 1):
            hook.after_train_iter(runner, 0)
            if step % batches == 0 and step // batches <= runner.epoch:
                hook.after_train_epoch(runner)
