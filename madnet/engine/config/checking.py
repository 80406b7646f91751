"""A config against the registries and the signatures of what it names, before anything is built."""

import ast
import functools
import inspect
import logging
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import Registry
from mmengine.runner import LogProcessor, Runner
from mmengine.runner.priority import get_priority
from mmseg import registry
from torch import compile as torch_compile
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from madnet.datasets.wrappers import is_kind
from madnet.engine.config.steps import LOADERS
from madnet.engine.optim import GroupedOptimWrapperConstructor
from madnet.errors import UserError, expect_number, nearest
from madnet.models.layers import SS2D, MemA2M
from madnet.models.segmentors import IRSTDSegmentor
from madnet.models.segmentors.test_time import DEFAULTS
from madnet.postponed import real

#: Top-level key → registry of its component, or of each in a list or a dict of them.
_AT_TOP = {
    'model': registry.MODELS,
    'data_preprocessor': registry.MODELS,
    'optim_wrapper': registry.OPTIM_WRAPPERS,
    'param_scheduler': registry.PARAM_SCHEDULERS,
    'default_hooks': registry.HOOKS,
    'custom_hooks': registry.HOOKS,
    'visualizer': registry.VISUALIZERS,
    'train_cfg': registry.LOOPS,
    'val_cfg': registry.LOOPS,
    'test_cfg': registry.LOOPS,
    'val_evaluator': registry.METRICS,
    'test_evaluator': registry.METRICS,
}

#: Argument of a component → registry of the components in it. Other dicts with a type, such as norm_cfg, go
#: through builders of their own: only their type is checked.
_WITHIN = {
    **dict.fromkeys(('backbone', 'neck', 'decode_head', 'auxiliary_head', 'loss_decode'), registry.MODELS),
    'data_preprocessor': registry.MODELS,
    'optimizer': registry.OPTIMIZERS,
    'vis_backends': registry.VISBACKENDS,
    'metrics': registry.METRICS,
    'dataset': registry.DATASETS,
    'datasets': registry.DATASETS,
    'pipeline': registry.TRANSFORMS,
    'transforms': registry.TRANSFORMS,
    'init_cfg': registry.WEIGHT_INITIALIZERS,
}

#: Name of a registry → arguments that its builder takes itself, and those that it adds.
_BUILDERS = {
    'hook': ({'priority'}, ()),
    'optim_wrapper': ({'constructor', 'paramwise_cfg'}, ()),
    'optimizer': ((), {'params'}),
    'parameter scheduler': ({'convert_to_iter_based'}, {'optimizer', 'end'}),
    'visualizer': ((), {'name', 'save_dir'}),
    'vis_backend': ((), {'save_dir'}),
    'loop': ((), {'runner', 'dataloader', 'evaluator'}),
    'data sampler': ((), {'dataset', 'sampler', 'batch_size'}),
    'model': ((), {'in_channels', 'model'}),  # IRSTDSegmentor and EMAHook give them
}

#: Argument of a component that is a dict of arguments → what takes them.
_PASSED_ON = {'mema2m': MemA2M, 'ss2d': SS2D}

#: Plain arguments: top-level key → what takes them.
_FUNCTIONS = {
    'randomness': Runner.set_randomness,
    'compile': torch_compile,
    'log_processor': LogProcessor,
}

#: Dicts of which mmengine and mmseg read these names and pass over all others.
_ENVIRONMENT = {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'}
_PARAMWISE = {
    *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult'),
    *('flat_decay_mult', 'bypass_duplicate', 'dcn_offset_lr_mult'),
}
_TEST_TIME = {'mode', 'crop_size', 'stride', 'fp16', 'together', *DEFAULTS}


#: Dotted key → the least value; all are whole numbers.
_LEAST = {
    **{f'{loader}.batch_size': 1 for loader in LOADERS},
    **{f'{loader}.num_workers': 0 for loader in LOADERS},
    **{f'{loader}.prefetch_factor': 1 for loader in LOADERS},
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'train_cfg.val_begin': 1,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.logger.interval': 1,
    'default_hooks.overlay.interval': 1,
    'default_hooks.overlay.images': 0,
    'default_hooks.collapse.patience': 1,
    'default_hooks.collapse.after': 0,
    'log_processor.window_size': 1,
    'optim_wrapper.accumulative_counts': 1,
    'loader_timeout': 1,
}
#: Those of which None means something: torch's own choice, and for ever.
_MAY_BE_NONE = {'loader_timeout', *(f'{loader}.prefetch_factor' for loader in LOADERS)}

#: Annotations of what is True or False, and the words that somebody may mean by these.
_FLAGS = {'bool', 'bool | None', 'Optional[bool]', 'typing.Optional[bool]'}
_YES_OR_NO = {'yes', 'no', 'on', 'off', 'true', 'false', 'none'}
#: Words that annotate a number, and those that may stand beside them where a text is none.
_NUMBERS = {'int', 'float'}
_OF_NUMBERS = {*_NUMBERS, 'Optional', 'Union', 'None', 'typing', 'torch', 'Tensor'}

#: Dotted key of what is on or off, and belongs to no component → the words that it may be as well.
_SWITCHES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(('compile', 'channels_last', 'find_unused_parameters', 'env_cfg.cudnn_benchmark'), ()),
    'optim_wrapper.paramwise_cfg.bypass_duplicate': (),
    'capture_step': ('auto', 'emulate'),
    'device_cache': ('auto',),
    'model.test_cfg.together': ('auto',),
}


def check_config(cfg: Mapping, where: str, written: str | None = None) -> None:
    """Check every component and every argument that a config names.

    Args:
        cfg: A config, resolved.
        where: What to call it in messages, such as its path.
        written: What the user wrote, without base configs; an argument that is not in it was inherited.

    Raises:
        UserError: A component that is not registered, an argument that it does not take, or one that it
            lacks; names the dotted key, and the nearest right names. Or a number that is too small, or a text
            where True or False belongs.
    """
    if cfg.get('default_scope', 'mmseg') not in ('mmseg', 'mmengine'):
        return  # of another package, whose components other registries hold
    try:
        _check_numbers(cfg)
        _check_kinds(cfg)
        _check_values(cfg)
        for key, value in cfg.items():
            if key in LOADERS and value:
                _check_loader(value, key)
            elif key in _FUNCTIONS and isinstance(value, Mapping):
                taken = _arguments(_FUNCTIONS[key])
                _refuse_unknown(value, taken.accepted or (), key, key)
                _refuse_words(value, taken, key)
            elif key in ('train_cfg', 'val_cfg', 'test_cfg') and value and 'type' not in value:
                continue  # mmengine's default loop
            elif key == 'default_hooks':
                for name, hook in (value or {}).items():
                    _check(hook, f'{key}.{name}', registry.HOOKS)
            elif key in _AT_TOP:
                _check(value, key, _AT_TOP[key])
    except _UnknownArgument as e:
        inherited = written is not None and e.argument not in written
        raise UserError(f'config {where}: {e}{_INHERITED if inherited else ""}') from None
    except UserError as e:
        raise UserError(f'config {where}: {e}') from None


class _UnknownArgument(UserError):
    def __init__(self, message: str, argument: str):
        super().__init__(message)
        self.argument = argument


_INHERITED = ' It comes from a base config: put _delete_=True beside the type, which drops what was there.'


def _check_numbers(cfg: Mapping) -> None:
    for key, least in _LEAST.items():
        value = _value_at(cfg, key, absent=least)
        if value is None and key in _MAY_BE_NONE:
            continue
        if type(value) is not int or value < least:
            raise UserError(f'{key}: found {value!r}, expected a whole number from {least} on.')


def _value_at(cfg: Mapping, key: str, absent: Any = None) -> Any:
    """What lies under a dotted key."""
    value: Any = cfg
    for part in key.split('.'):
        value = value.get(part, absent) if isinstance(value, (Config, Mapping)) else absent
    return value


def _check_kinds(cfg: Mapping) -> None:
    loops = ('train_cfg', 'val_cfg', 'test_cfg')
    for key in ('randomness', 'env_cfg', *loops, 'default_hooks', 'custom_hooks'):
        kind, said = (list, 'a list') if key == 'custom_hooks' else (Mapping, 'a dict')
        may_be_none = key.endswith(('hooks', '_cfg')) and key != 'env_cfg'
        if key in cfg and not isinstance(cfg[key], kind) and not (may_be_none and cfg[key] is None):
            raise UserError(f'{key}: found {cfg[key]!r}, expected {said}.')


def _check_values(cfg: Mapping) -> None:
    """Look at what is handed on to where a wrong value would be passed over, or found out only later."""
    _refuse_unknown(cfg.get('env_cfg', {}), _ENVIRONMENT, 'env_cfg', 'env_cfg')
    level = cfg.get('log_level', 'INFO')
    # logging gives the number of a name
    if not isinstance(level, int) and not (
        isinstance(level, str) and isinstance(logging.getLevelName(level), int)
    ):
        raise UserError(
            f'log_level: found {level!r}, expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL, NOTSET.'
        )
    for key, words in _SWITCHES.items():
        value, arguments = _value_at(cfg, key), key in _FUNCTIONS
        if value not in (None, True, False, *words) and not (arguments and isinstance(value, Mapping)):
            also = [*map(repr, words), *(['a dict of arguments'] if arguments else ())]
            raise UserError(f'{key}: found {value!r}, expected {" or ".join(["True or False", *also])}.')
    for key in ('activation_checkpointing', 'efficient_conv_bn_eval'):
        if not isinstance(cfg.get(key), (list, str, type(None))):
            raise UserError(f"{key}: found {cfg[key]!r}, expected names of the model's parts.")
    model = cfg.get('model') or {}
    if is_kind(model.get('type'), registry.MODELS, IRSTDSegmentor):
        test = model.get('test_cfg') or {}
        if _find(model['type'], 'model', registry.MODELS) is IRSTDSegmentor:  # others may read more
            _refuse_unknown(test, _TEST_TIME, 'model.test_cfg', 'IRSTDSegmentor')
        if test.get('mode') == 'slide':
            _refuse_missing(test, {'crop_size', 'stride'}, 'model.test_cfg', "mode='slide'")
            for name in ('crop_size', 'stride'):
                if not isinstance(test[name], (list, tuple)) or [*map(type, test[name])] != [int, int]:
                    pair = f'found {test[name]!r}, expected two whole numbers, height and width.'
                    raise UserError(f'model.test_cfg.{name}: {pair}')
    wrapper = cfg.get('optim_wrapper')
    if isinstance(wrapper, Mapping):
        if not {'type', 'optimizer', 'constructor'} & {*wrapper}:  # in a file nobody can say several
            raise UserError(f'optim_wrapper: found {wrapper!r}, expected a dict with an optimizer.')
        _check_clipping(wrapper.get('clip_grad'))
        _check_paramwise(wrapper)


def _check_clipping(clip: Any) -> None:
    if clip is None:
        return
    if not isinstance(clip, Mapping):
        raise UserError(
            f'optim_wrapper.clip_grad: found {clip!r}, expected dict(max_norm=…); as an option, '
            'optim_wrapper.clip_grad.max_norm=….'
        )
    clips = {'norm': clip_grad_norm_, 'value': clip_grad_value_}.get(clip.get('type', 'norm'))
    if clips is None:
        raise UserError(
            f"optim_wrapper.clip_grad.type: found {clip.get('type')!r}, expected 'norm' or 'value'."
        )
    taken = _arguments(clips)
    names = (taken.accepted or frozenset()) - {'parameters'}
    _refuse_unknown(clip, names, 'optim_wrapper.clip_grad', clips.__name__)
    _refuse_missing(clip, taken.required - {'parameters'}, 'optim_wrapper.clip_grad', clips.__name__)
    _refuse_words(clip, taken._replace(numbers=frozenset()), 'optim_wrapper.clip_grad')
    for name in ('max_norm', 'norm_type', 'clip_value'):
        value = clip.get(name, 1.0)
        with suppress(TypeError, ValueError):
            value = float(value)  # as torch does, also with 'inf'
        # a negative one would turn the gradient round
        expect_number(value, f'optim_wrapper.clip_grad.{name}', above=0)


def _check_paramwise(wrapper: Mapping) -> None:
    key = 'optim_wrapper.paramwise_cfg'
    name = wrapper.get('constructor', DefaultOptimWrapperConstructor)
    constructor = _find(name, 'optim_wrapper.constructor', registry.OPTIM_WRAPPER_CONSTRUCTORS)
    settings = wrapper.get('paramwise_cfg') or {}
    if constructor not in (DefaultOptimWrapperConstructor, GroupedOptimWrapperConstructor):
        return  # has names of its own
    _refuse_unknown(settings, _PARAMWISE, key, 'paramwise_cfg')
    _refuse_negative_factors({k: v for k, v in settings.items() if v is not None}, key)
    optimizer, taken = wrapper.get('optimizer'), None
    if isinstance(optimizer, Mapping) and 'type' in optimizer:
        taken = _arguments(_find(optimizer['type'], 'optim_wrapper.optimizer', registry.OPTIMIZERS)).accepted
    for part, factors in (settings.get('custom_keys') or {}).items():
        if not isinstance(factors, Mapping):
            raise UserError(f'{key}.custom_keys.{part}: found {factors!r}, expected dict(lr_mult=…).')
        if taken is not None:  # what is said of a part goes into its group of parameters
            names = {'lr_mult', 'decay_mult', *taken} - {'params'}
            _refuse_unknown(factors, names, f'{key}.custom_keys.{part}', 'custom_keys')
        _refuse_negative_factors(factors, f'{key}.custom_keys.{part}')


def _refuse_negative_factors(settings: Mapping, key: str) -> None:
    for name, value in settings.items():
        if name.endswith('_mult'):
            expect_number(value, f'{key}.{name}', least=0)


def _check_hook(hook: Mapping, component: Callable | None, key: str) -> None:
    try:
        get_priority(hook.get('priority', 'NORMAL'))
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f'{key}.priority: found {hook["priority"]!r}, expected 0 to 100, or a name such as LOW.'
        ) from None
    if component is EMAHook:  # hands all else on to the average
        own = {'ema_type', 'strict_load', 'begin_iter', 'begin_epoch', 'type', 'priority'}
        average = {k: v for k, v in hook.items() if k not in own}
        _check_component(
            {'type': hook.get('ema_type', 'ExponentialMovingAverage'), **average}, key, registry.MODELS
        )
        every = hook.get('interval', 1)
        if type(every) is not int or every < 1:
            raise UserError(f'{key}.interval: found {every!r}, expected a whole number from 1 on.')


def _check_loader(loader: Mapping, key: str) -> None:
    taken = _arguments(DataLoader)
    _refuse_unknown(loader, {*(taken.accepted or ()), 'num_batch_per_epoch'}, key, 'a data loader')
    _refuse_words(loader, taken, key)
    _refuse_missing(loader, {'dataset', 'sampler'}, key, 'a data loader')
    _check(loader['dataset'], f'{key}.dataset', registry.DATASETS)
    for name in ('sampler', 'batch_sampler'):
        _check(loader.get(name), f'{key}.{name}', registry.DATA_SAMPLERS)


def _check(value: Any, key: str, kind: Registry) -> None:
    """Check a component, or several in a list, and what its arguments hold."""
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check(item, f'{key}.{i}', kind)
    elif isinstance(value, Mapping):
        if kind is registry.METRICS and 'metrics' in value:
            kind = registry.EVALUATOR
        if 'type' in value or kind not in (registry.EVALUATOR, registry.OPTIM_WRAPPERS):
            _check_component(value, key, kind)
        _check_inside(value, key)
    elif value is not None and not callable(value):
        # --cfg-options leaves a dict in quotes a text
        how = '; --cfg-options changes single values (KEY=VALUE, LIST.0.KEY=VALUE), a file says the rest'
        raise UserError(
            f'{key}: found {value!r}, expected a dict with a type{how if isinstance(value, str) else ""}.'
        )


def _check_inside(value: Any, key: str) -> None:
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for name, item in items:
        if name == 'pipeline' and item is None:
            raise UserError(f'{key}.pipeline: found None, expected a list of transforms.')
        if name in _WITHIN:
            _check(item, f'{key}.{name}', _WITHIN[name])
        elif isinstance(item, (Mapping, list, tuple)) and name not in ('paramwise_cfg', 'clip_grad'):
            if name in _PASSED_ON and isinstance(item, Mapping):
                taken = _arguments(_PASSED_ON[name])
                names = (taken.accepted or frozenset()) - taken.required
                _refuse_unknown(item, names, f'{key}.{name}', _PASSED_ON[name].__name__)
                _refuse_words(item, taken, f'{key}.{name}')
            elif isinstance(item, Mapping) and isinstance(item.get('type'), str):
                component = _find(item['type'], f'{key}.{name}', registry.MODELS, _REGISTRIES)
                taken = _arguments(component)
                # which the builder of normalisations takes
                _refuse_words(item, taken._replace(flags=taken.flags | {'requires_grad'}), f'{key}.{name}')
            _check_inside(item, f'{key}.{name}')


_REGISTRIES = [r for r in vars(registry).values() if isinstance(r, Registry)]


def _find(name: Any, key: str, kind: Registry, others: Iterable[Registry] = ()) -> Callable | None:
    """The component of a name; a name that is none is a class or function already."""
    if callable(name):
        return real(name)
    if not isinstance(name, str):
        raise UserError(f'{key}.type: found {name!r}, expected a name.')
    found = next((c for r in (kind, *others) if (c := r.get(name)) is not None), None)
    if found is None:
        known = {n for r in (kind, kind.parent) if r is not None for n in r.module_dict}
        raise UserError(
            f'{key}.type: {name!r} is no registered {kind.name}.{nearest(name, known)} A part of your own '
            'needs its module in custom_imports.'
        )
    return real(found)


def _check_component(value: Mapping, key: str, kind: Registry) -> None:
    if 'type' not in value:
        raise UserError(f'{key}: found no type ({kind.name}), beside {list(value)}.')
    component = _find(value['type'], key, kind)
    taken = _arguments(component)
    by_builder, added = _BUILDERS.get(kind.name, ((), ()))
    name = getattr(component, '__name__', str(component))
    if taken.accepted is not None:
        _refuse_unknown(value, {*taken.accepted, *by_builder}, key, name)
    _refuse_missing(value, taken.required - {*added}, key, name)
    _refuse_words(value, taken, key)
    if kind is registry.HOOKS:
        _check_hook(value, component, key)


def _refuse_unknown(value: Mapping, accepted: Iterable[str], key: str, name: str) -> None:
    for argument in value:
        if argument not in accepted and argument not in ('type', '_scope_'):
            raise _UnknownArgument(
                f'{key}.{argument}: {name} takes no such argument.{nearest(argument, accepted)} '
                f'It takes {", ".join(sorted(accepted)) or "none"}.',
                argument,
            )


def _refuse_missing(value: Mapping, required: Iterable[str], key: str, name: str) -> None:
    missing = sorted({*required} - {*value})
    if missing:
        raise UserError(f'{key}: {name} needs {" and ".join(missing)}.')


def _refuse_words(value: Mapping, taken: '_Taken', key: str) -> None:
    """Refuse a text for a number, and for what is True or False: whatever it says, Python takes it for True.
    Of ``--cfg-options`` no, off and the like stay texts."""
    for argument in taken.numbers:
        if isinstance(value.get(argument), str):
            raise UserError(f'{key}.{argument}: found {value[argument]!r}, expected a number.')
    for argument in taken.flags | taken.likely:
        given = value.get(argument)
        if isinstance(given, str) and (argument in taken.flags or given.lower() in _YES_OR_NO):
            raise UserError(f'{key}.{argument}: found {given!r}, expected True or False.')


class _Taken(NamedTuple):
    accepted: frozenset[str] | None  # None: any
    required: frozenset[str]
    flags: frozenset[str]  # those of them that are True or False
    likely: frozenset[str]  # those without an annotation that are by default, and may take a word as well
    numbers: frozenset[str]  # those that are numbers alone


@functools.cache
def _arguments(component: Callable) -> _Taken:
    """The arguments that a class or function takes, and without which of them it does not work."""
    classes = [c for c in getattr(component, '__mro__', ()) if '__init__' in vars(c)]
    return _arguments_of([vars(c)['__init__'] for c in classes[:-1]] or [component], bool(classes))


def _arguments_of(functions: list, methods: bool) -> _Taken:
    """For the first of the functions, whose ``**kwargs`` go to the next."""
    try:
        parameters = list(inspect.signature(functions[0]).parameters.values())[methods:]
    except (TypeError, ValueError):
        return _Taken(None, *[frozenset()] * 4)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    accepted = frozenset(p.name for p in named)
    required = frozenset(p.name for p in named if p.default is p.empty)
    # of modules that postpone their annotations, a text
    kinds = {p.name: inspect.formatannotation(p.annotation).strip("'") for p in named}
    flags = frozenset(name for name, kind in kinds.items() if kind in _FLAGS)
    likely = frozenset(p.name for p in named if isinstance(p.default, bool) and p.annotation is p.empty)
    words = {p.name: {*re.findall(r'\w+', kinds[p.name])} for p in named if not isinstance(p.default, str)}
    numbers = frozenset(name for name, said in words.items() if said & _NUMBERS and said <= _OF_NUMBERS)
    if all(p.kind != p.VAR_KEYWORD for p in parameters):
        return _Taken(accepted, required, flags, likely, numbers)
    call = _forwarding_call(functions[0]) if len(functions) > 1 else None
    if call is None:
        return _Taken(None, required, flags, likely, numbers)
    further = _arguments_of(functions[1:], methods)
    given = {k.arg for k in call.keywords}
    given |= set(_positional(functions[1])[: sum(not isinstance(a, ast.Starred) for a in call.args)])
    return _Taken(
        None if further.accepted is None else accepted | (further.accepted - given),
        required | (further.required - given),
        flags | (further.flags - given - accepted),
        likely | (further.likely - given - accepted),
        numbers | (further.numbers - given - accepted),
    )


def _positional(function: Callable) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def _forwarding_call(function: Callable) -> ast.Call | None:
    """The call of the base's ``__init__`` that alone gets the ``**kwargs``; None where they go elsewhere."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    assert isinstance(tree, ast.FunctionDef)
    assert tree.args.kwarg is not None  # or nobody would ask
    name = tree.args.kwarg.arg
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, 'attr', None) == '__init__'
        and any(k.arg is None and getattr(k.value, 'id', None) == name for k in node.keywords)
    ]
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))
    return calls[0] if len(calls) == uses == 1 else None
