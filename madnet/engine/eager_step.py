"""The training step as mmengine takes it."""

from torch import Tensor

from madnet.datasets.device_cache import DeviceCache
from madnet.engine.step_batches import tensors_of, unstacked


class EagerStep:
    """The step as mmengine takes it.

    Attributes:
        moves_averages: Whether losses come with the gradient's norm, and the average of the weights is moved.
        replays: Whether a graph does the work.
    """

    moves_averages = False
    replays = False

    def __init__(self, runner, cache: DeviceCache | None = None):
        self._runner, self._cache = runner, cache

    def __call__(self, batch: dict) -> dict[str, Tensor]:
        """Train on a batch of the loader; the losses, by name."""
        if self._cache is not None and 'drawn' in batch:
            device = self._cache.images.device
            drawn = tensors_of(batch['drawn']).items()
            batch = unstacked(self._cache.batch({name: t.to(device, non_blocking=True) for name, t in drawn}))
        return self._runner.model.train_step(batch, optim_wrapper=self._runner.optim_wrapper)
