"""Few groups of parameters instead of one for each."""

from collections.abc import Sequence
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor

# mmengine's own registry: its build_optim_wrapper looks there, whatever the scope
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.optim import Optimizer


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with parameters of equal settings in one group.

    mmengine gives every parameter a group of its own as soon as there is a ``paramwise_cfg``. The optimiser
    and the learning-rate curve then go through hundreds of groups in Python at every step, and neither fused
    nor batched (``foreach``) updates have anything to batch. The updates are the same.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """See mmengine's; the outermost call joins the groups."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if not prefix:
            params[:] = _joined(params)


def _joined(groups: Sequence[dict]) -> list[dict]:
    found: dict[tuple, dict] = {}
    for group in groups:
        settings = tuple(sorted((k, repr(v)) for k, v in group.items() if k != 'params'))
        if settings in found:
            found[settings]['params'] += group['params']
        else:
            found[settings] = {**group, 'params': list(group['params'])}
    return list(found.values())


def join_saved_groups(checkpoint: dict, optimizer: Optimizer, model: nn.Module) -> None:
    """Let a run that was saved with a group for every parameter go on with few; in place.

    Args:
        checkpoint: With ``optimizer`` and ``param_schedulers``.
        optimizer: The one to go on with.
        model: Whose parameters it has.
    """
    saved = checkpoint['optimizer']
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = optimizer.param_groups
    if len(groups) == len(saved['param_groups']) or len(saved['param_groups']) != len(trained):
        return
    # mmengine goes through modules as parameters() does
    before = {id(p): i for i, p in enumerate(trained)}
    moved = [[before[id(p)] for p in group['params']] for group in groups]
    numbers = iter(range(len(trained)))
    joined, state = [], {}
    for old in moved:
        new = [next(numbers) for _ in old]
        joined.append({**saved['param_groups'][old[0]], 'params': new})
        state |= {n: saved['state'][o] for n, o in zip(new, old, strict=True) if o in saved['state']}
    saved['param_groups'], saved['state'] = joined, state
    firsts = [old[0] for old in moved]
    for scheduler in checkpoint.get('param_schedulers') or []:
        for key, values in scheduler.items():
            scheduler[key] = _of_groups(values, firsts, len(trained))


def _of_groups(values: Any, firsts: Sequence[int], number: int) -> Any:
    """A curve's values by group, of the groups that stay; mmengine appends one for the defaults."""
    if isinstance(values, list | tuple) and len(values) in (number, number + 1):
        kept = [values[i] for i in firsts]
        return kept + list(values[number:]) if len(firsts) > 1 else kept
    return values
