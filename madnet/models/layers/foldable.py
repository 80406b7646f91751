"""What re-parameterised blocks share: many branches in training, one convolution afterwards."""

import torch
from torch import Tensor, nn


class Foldable(nn.Module):
    """A block whose branches amount to one 3×3 convolution, ``fused`` in the deployed form.

    A deployed state dict can be loaded into the training form, which then deploys itself.

    Attributes:
        deployed: Whether the block is ``fused`` alone.
    """

    deployed = False

    def fused_kernel(self) -> tuple[Tensor, Tensor]:
        """Kernel (C_out, C_in, 3, 3) and bias (C_out,) that the branches amount to; abstract."""
        raise NotImplementedError

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Folds the branches, which are all of the block's children, into ``fused``, for good."""
        if self.deployed:
            return
        weight, bias = self.fused_kernel()
        fused = nn.Conv2d(weight.shape[1], weight.shape[0], kernel_size=3, padding=1).to(weight)
        fused.weight.copy_(weight)
        fused.bias.copy_(bias)
        for name in tuple(self._modules):
            delattr(self, name)
        self.fused = fused
        self.deployed = True

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        if f'{prefix}fused.weight' in state_dict:
            self.switch_to_deploy()
            # The loader walks the children it finds after this call, so `fused` is filled by it.
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
