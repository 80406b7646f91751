"""A network in one file: weights, and in the metadata the model and the pipeline that they belong to."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.model import BaseInit
from mmengine.registry import Registry
from mmseg.registry import MODELS, TASK_UTILS, TRANSFORMS, WEIGHT_INITIALIZERS
from mmseg.structures.sampler import BasePixelSampler
from torch import nn

from madnet import __version__
from madnet.datasets.image_pipeline import KNOWN_PACKAGES, ImagePipeline, pipeline_settings, with_range
from madnet.datasets.wrappers import by_name
from madnet.engine.checkpoint_file import metadata_of
from madnet.errors import UserError, in_brief
from madnet.images.notices import say_once
from madnet.images.values import ValueRange
from madnet.models.deploy import fold
from madnet.postponed import real
from madnet.records.export_info import KEY, ExportInfo

#: What a class must derive from that a file names in full and that is not registered.
_PARTS = (nn.Module, BaseTransform, BaseInit, BasePixelSampler)


def describe_network(cfg: Config) -> dict[str, Any]:
    """What of a config prediction needs: ``model``, ``pipeline`` (the arguments of
    :class:`~madnet.datasets.image_pipeline.ImagePipeline`) and ``channels_last``; where parts of either come
    from elsewhere, ``modules`` as well: type → name of its module, which a file never imports. Classes go by
    their names in full."""
    model = by_name(cfg.model.to_dict())
    model.pop('train_cfg', None)
    pipeline = by_name(pipeline_settings(cfg))
    modules = _modules(MODELS, model) | _modules(TRANSFORMS, pipeline['transforms'])
    return {
        'model': model,
        'pipeline': pipeline,
        'channels_last': bool(cfg.get('channels_last')),
        **({'modules': modules} if modules else {}),
    }


def _modules(registry: Registry, settings: Any) -> dict[str, str]:
    """Type → module of the parts that come from elsewhere."""
    found = {
        kind: kind.rpartition('.')[0] or getattr(registry.get(kind), '__module__', '')
        for kind in _types(settings)
    }
    return {kind: name for kind, name in found.items() if name.partition('.')[0] not in {'', *KNOWN_PACKAGES}}


def _types(value: Any) -> Iterator[str]:
    """Every ``type`` in nested dicts and lists, and every scope, of which mmengine imports the registry."""
    if isinstance(value, Mapping):
        yield from (value[key] for key in ('type', '_scope_') if isinstance(value.get(key), str))
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _types(each)


def say_modules(description: Mapping[str, Any], shown: object) -> None:
    """Say in one line what has to be imported before a network that is written can be loaded."""
    for kind, module in description.get('modules', {}).items():
        say_once(
            f'{shown}: holds no code: its part {kind!r} is of the module {module!r}, to be imported before '
            'the network is loaded (import in Python, custom_imports in a training). Commands such as '
            'madnet predict take the config and its checkpoint.'
        )


def build_network(
    description: Mapping[str, Any], value_range: ValueRange = None, shown: str = 'network'
) -> tuple[nn.Module, ImagePipeline]:
    """The network of :func:`describe_network`, without its weights, in evaluation mode, and its pipeline.

    Raises:
        UserError: A part of it is not registered; ``shown`` is how the message calls the network.
    """
    for kind in _types([description['model'], description['pipeline']]):
        if not _may_be_built(kind):
            raise _unknown_part(kind, description, shown)
    try:
        model = MODELS.build(dict(description['model']))
        pipeline = ImagePipeline(**with_range(description['pipeline'], value_range))
    except KeyError as e:  # what mmengine's registry has not found
        found = re.search(r'(\S+) is not in the \S+ registry', str(e.args[0] if e.args else ''))
        raise _unknown_part(found[1], description, shown) if found else e from None
    if description.get('folded'):
        fold(model)
    if description.get('channels_last'):
        model = model.to(memory_format=torch.channels_last)
    return model.eval(), pipeline


def _may_be_built(kind: str) -> bool:
    """Whether a type in a file leads to what is registered, or to a part of a network or pipeline in a module
    that is imported already, or to nothing: mmengine's registries import and call whatever else it leads
    to, a module by a plain name."""
    place, _, name = kind.rpartition('.')
    found = real(_imported(kind))
    if isinstance(found, type) and issubclass(found, _PARTS):
        return True
    roots = [registry.parent for registry in (MODELS, TRANSFORMS, TASK_UTILS, WEIGHT_INITIALIZERS)]
    known = [registry for root in roots for registry in (root, *root.children.values())]
    if not place:
        named = any(name in registry.module_dict or name == registry.scope for registry in known)
        return named or not (name and find_spec(name))
    return any(
        found in registry.module_dict.values() or (registry.scope == place and name in registry.module_dict)
        for registry in known
    )


def _imported(kind: str) -> Any:
    """What a name in full leads to in modules that are imported already; None where it leads nowhere."""
    place, _, name = kind.rpartition('.')
    outer = sys.modules.get(place) or (_imported(place) if place else None)
    return vars(outer).get(name) if isinstance(outer, type | ModuleType) else None


def _unknown_part(kind: str, description: Mapping[str, Any], shown: str) -> UserError:
    """What to raise for a type that is not found."""
    modules = description.get('modules')
    module = modules.get(kind) if isinstance(modules, Mapping) else None
    where = 'nothing that is imported has'
    first = 'the module that has it, or update madnet where it is one of a newer version'
    if module is not None:
        where, first = f'is of the module {module!r}', f'{module} (in a training by custom_imports)'
    return UserError(
        f'{shown}: has a part {kind!r} that {where}, and no code is imported for a file. '
        f'Import first {first}, or take the config of the network and its checkpoint instead.'
    )


def network_bytes(model: nn.Module, description: Mapping[str, Any], info: ExportInfo, folded: bool) -> bytes:
    """The content of a safetensors file of a network.

    Args:
        model: The network with its weights, which stays as it is.
        description: Of :func:`describe_network`.
        info: What the file says of itself; with the ``dtype`` of half precision weights are :func:`halved`.
        folded: Whether to fold what inference does not need apart, for the layout of memory that convolutions
            are quickest in (channels-last).
    """
    import safetensors.torch

    description = {**description, 'channels_last': folded or bool(description.get('channels_last'))}
    twin, _ = build_network(description)
    twin.load_state_dict(model.state_dict())
    if folded:
        fold(twin)
    state = {key: value.contiguous() for key, value in twin.state_dict().items()}
    if info.dtype == 'float16':
        state = halved(state)
    info = replace(info, network={**description, 'folded': folded})
    return safetensors.torch.save(state, {KEY: info.as_text()})


def halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict in half precision, but for what stays as it is: statistics of normalisation, which are few
    and often large, whole numbers, and tensors whose numbers are too large or too small for it."""
    return {key: value.half() if _halves(key, value) else value for key, value in state.items()}


def _halves(key: str, value: torch.Tensor) -> bool:
    if not value.is_floating_point() or key.endswith(('.running_mean', '.running_var')):
        return False
    # rounding takes 2^-11 of a number at most; what overflows or vanishes loses more
    return bool((value.half() - value.double()).norm() <= 2**-10 * value.double().norm())


def load_network_file(
    content: bytes, shown: str, device: str | torch.device = 'cpu', value_range: ValueRange = None
) -> tuple[nn.Module, ImagePipeline, ExportInfo]:
    """A network from the content of its file, its pipeline, and what the file says of itself; nothing in it
    can run.

    Raises:
        UserError: The file is damaged, or not one of ours; or a part of its network is not registered.
    """
    import safetensors.torch

    info = ExportInfo.of_file(metadata_of(content).get(KEY), shown)
    try:
        state = safetensors.torch.load(content)
        model, pipeline = build_network(info.network or {}, value_range, shown)
        model.load_state_dict(state)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as e:
        other = info.versions.get('madnet', __version__)
        what = (
            'damaged' if other == __version__ else f'damaged, or only for madnet {other} (here {__version__})'
        )
        raise UserError(f'{shown}: {what}, export it again ({in_brief(e)}).') from None
    return model.to(device), pipeline, info
