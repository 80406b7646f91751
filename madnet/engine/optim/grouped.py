"""Few groups of parameters instead of one for each, and parameters that say that they are not decayed."""

from collections.abc import Sequence
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor

# mmengine's own registry: its build_optim_wrapper looks there, whatever the scope
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.optim import Optimizer

from madnet.errors import UserError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, which also asks the parameters, and puts those of equal settings in one group.

    A parameter with ``_no_weight_decay = True`` has no weight decay, whatever ``paramwise_cfg`` says. What is
    named ``…_bias`` is decayed as ``bias_decay_mult`` says, like what is named ``bias``.

    mmengine gives every parameter a group of its own as soon as there is a ``paramwise_cfg``. The optimiser
    and the learning-rate curve then go through hundreds of groups in Python at every step, and neither fused
    nor batched (``foreach``) updates have anything to batch. The updates are the same.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        # without any setting, mmengine would not go through the parameters
        super().__init__(optim_wrapper_cfg, {'custom_keys': {}, **(paramwise_cfg or {})})

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """See mmengine's; the outermost call joins the groups."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if not prefix:
            self._ask_parameters(params, module)
            params[:] = _joined(params)

    def _ask_parameters(self, params: list[dict], model: nn.Module) -> None:
        if self.base_wd is None:
            return
        bias_decay_mult = self.paramwise_cfg.get('bias_decay_mult')
        names = {id(p): name for name, p in model.named_parameters()}
        for group in params:
            [parameter] = group['params']
            if getattr(parameter, '_no_weight_decay', False):
                group['weight_decay'] = 0.0
            elif names[id(parameter)].endswith('_bias') and bias_decay_mult is not None:
                group.setdefault('weight_decay', self.base_wd * bias_decay_mult)


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

    Raises:
        UserError: The run was saved with other groups than either.
    """
    saved = checkpoint['optimizer']
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = optimizer.param_groups
    sizes, saved_sizes = ([len(g['params']) for g in each] for each in (groups, saved['param_groups']))
    if sizes == saved_sizes:
        return
    if saved_sizes != [1] * len(trained):
        raise UserError(
            f'the checkpoint was saved with {len(saved_sizes)} groups of {sum(saved_sizes)} parameters, the '
            f'optimizer has {len(sizes)} groups of {sum(sizes)}: settings by parameter have changed, in the '
            'config or in madnet, and training cannot go on. Start a new run from the weights: --load-from.'
        )
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
