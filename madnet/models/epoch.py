"""The epoch of the training run, for what changes in its course."""

from mmengine.logging import MessageHub


def current_epoch() -> int:
    """The epoch that mmengine's Runner is in, counted from 0; 0 outside of a Runner."""
    return MessageHub.get_current_instance().get_info('epoch', 0)
