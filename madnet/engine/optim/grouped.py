"""Few groups of parameters instead of one for each, and parameters that say that they are not decayed."""

from collections.abc import Sequence

from mmengine.optim import DefaultOptimWrapperConstructor

# mmengine's own registry: its build_optim_wrapper looks there, whatever the scope
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


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
