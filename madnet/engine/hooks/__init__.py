"""What is added to mmengine's hooks."""

from madnet.engine.hooks.collapse_hook import CollapseHook
from madnet.engine.hooks.epoch_hook import EpochHook
from madnet.engine.hooks.lean_runtime_info_hook import LeanRuntimeInfoHook
from madnet.engine.hooks.negatives_hook import NegativesHook
from madnet.engine.hooks.non_finite_hook import NonFiniteHook
from madnet.engine.hooks.overlay_hook import OverlayHook
from madnet.engine.hooks.progress_hook import ProgressHook
from madnet.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from madnet.engine.hooks.save_scores_hook import SaveScoresHook
from madnet.engine.hooks.show_hook import ShowHook
from madnet.engine.hooks.stop_signal_hook import StopSignalHook
from madnet.engine.hooks.timed_schedule_hook import TimedScheduleHook

__all__ = [
    'CollapseHook', 'EpochHook', 'LeanRuntimeInfoHook', 'NegativesHook', 'NonFiniteHook', 'OverlayHook',
    'ProgressHook', 'SafeCheckpointHook', 'SaveScoresHook', 'ShowHook', 'StopSignalHook',
    'TimedScheduleHook',
]  # fmt: skip
