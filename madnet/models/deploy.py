"""From the training form of a network to its deployed form."""

from torch import nn


def switch_to_deploy(model: nn.Module) -> nn.Module:
    """Folds, in place and for good, every block of ``model`` that has a ``switch_to_deploy`` of its own.

    The outputs stay the same up to rounding; the weights can no longer be trained as before. Returns
    ``model``.
    """
    for module in list(model.modules()):
        if module is not model and hasattr(module, 'switch_to_deploy'):
            module.switch_to_deploy()
    return model
