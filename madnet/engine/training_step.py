"""Which training step a run takes: mmengine's or a captured one, with a loader's batches or the device's."""

from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel

from madnet.datasets.device_cache import DeviceCache, DoesNotFit, why_not_cached
from madnet.engine.bare_model import bare
from madnet.engine.captured_step import CapturedStep
from madnet.engine.cuda_graph import CUDAGraph, PlainCall, let_streams_differ
from madnet.engine.device_optimizer import why_not_on_device
from madnet.engine.eager_step import EagerStep
from madnet.engine.optim.ramped_ema import RampedEMA
from madnet.engine.random_state import preserved_random_state
from madnet.engine.step_checks import in_one_line
from madnet.errors import UserError


def device_cache(runner) -> DeviceCache | None:
    """The training images on the device, where a run's ``device_cache`` asks for it: ``False``, ``True``, or
    ``'auto'`` (True on a GPU, if they fit). One line says what became of it."""
    wanted = runner.cfg.get('device_cache', 'auto')
    device = next(runner.model.parameters()).device
    if not wanted or (wanted == 'auto' and device.type != 'cuda'):
        return None
    reason = why_not_cached(runner.train_dataloader, device)
    if reason is None:
        try:
            with preserved_random_state():
                cache = DeviceCache(runner.train_dataloader, device)
        except UserError:
            raise
        except DoesNotFit as e:
            reason = str(e)
        except Exception as e:  # whatever a device has against it, the loader does without
            reason = in_one_line(e)
    if reason is not None:
        runner.logger.warning(f'Training images are not kept on {device}: {reason}')
        return None
    cache.take_over()
    if is_main_process():
        print(f'{len(cache.images)} training images on {device}: {cache.bytes / 2**20:.0f} MiB', flush=True)
    return cache


def training_step(runner) -> EagerStep | CapturedStep:
    """The step that a run's ``capture_step`` asks for: ``False``, ``True``, ``'auto'`` (True on a GPU), or
    ``'emulate'``: all as if captured, with a plain call in the graph's place.

    Where the run cannot be captured, one line says why, and the step is mmengine's.
    """
    wanted = runner.cfg.get('capture_step', 'auto')
    on_gpu = next(runner.model.parameters()).is_cuda
    if wanted == 'auto':
        wanted = on_gpu
    cache = device_cache(runner)
    if wanted is True and not on_gpu:
        runner.logger.warning('The step is not captured: capture_step=True needs a GPU.')
    if not wanted or (wanted != 'emulate' and not on_gpu):
        return EagerStep(runner, cache)
    if reason := why_not(runner):
        runner.logger.warning(f'The step is not captured: {reason}')
        let_streams_differ()
        return EagerStep(runner, cache)
    return CapturedStep(runner, PlainCall if wanted == 'emulate' else CUDAGraph, cache)


def why_not(runner) -> str | None:
    """What of a run's settings changes from step to step by other means than tensors; None if nothing."""
    if reason := why_not_on_device(runner.optim_wrapper):
        return reason
    kind = type(bare(runner.model))
    if kind.train_step is not BaseModel.train_step:
        return f'{kind.__name__} has a train_step of its own.'
    if other := {s.param_name for s in runner.param_schedulers or ()} - {'lr'}:
        return f'param_scheduler changes {", ".join(sorted(other))}.'
    for hook in runner.hooks:
        if reason := getattr(hook, 'why_not_captured', None):
            return reason
        if isinstance(hook, EMAHook):
            average = hook.ema_model
            if type(average) is not RampedEMA or average.interval != 1 or not average.update_buffers:
                return f'the average {type(average).__name__} is no RampedEMA of every step and all buffers.'
            if hook.begin_iter or hook.begin_epoch:
                return 'EMAHook begins later than training.'
    return None
