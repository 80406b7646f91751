"""From the training form of a network to its deployed form."""

import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def switch_to_deploy(model: nn.Module) -> nn.Module:
    """Folds, in place and for good, every block of ``model`` that has a ``switch_to_deploy`` of its own.

    The outputs stay the same up to rounding; the weights can no longer be trained as before. Returns
    ``model``.
    """
    for module in list(model.modules()):
        if module is not model and hasattr(module, 'switch_to_deploy'):
            module.switch_to_deploy()
    return model


def fold(model: nn.Module) -> nn.Module:
    """Folds, in place and for good, all that inference does not need apart: re-parameterised blocks by
    :func:`switch_to_deploy`, and in every ``nn.Sequential`` a BatchNorm into the convolution right before it;
    the ReLU after it then works in place.

    The outputs stay the same up to rounding, for weights are multiplied in double precision and rounded once.
    Modules with ``keeps_norms`` are left alone: what they give depends on the last digit too much. What is
    folded depends on the structure alone: a folded state dict fits a network that was built and folded anew.
    Returns ``model``, in evaluation mode.
    """
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    switch_to_deploy(model.eval().double())
    steep = {
        part for owner in model.modules() if getattr(owner, 'keeps_norms', False) for part in owner.modules()
    }
    for sequence in {module for module in model.modules() if isinstance(module, nn.Sequential)} - steep:
        for (name, conv), (next_name, norm) in itertools.pairwise(list(sequence.named_children())):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
                transposed = isinstance(conv, nn.ConvTranspose2d)
                setattr(sequence, name, fuse_conv_bn_eval(conv, norm, transpose=transposed))
                setattr(sequence, next_name, nn.Identity())
            if isinstance(norm, nn.ReLU) and isinstance(
                conv, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d
            ):
                norm.inplace = True  # nobody else has what it is given
    return model.to(dtype)
