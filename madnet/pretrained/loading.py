"""From a name to a network with its weights and its preprocessing."""

import torch
from torch import nn

from madnet.datasets.image_pipeline import ImagePipeline
from madnet.engine.checkpoint_file import read_registered
from madnet.files import read_json
from madnet.images.values import ValueRange
from madnet.pretrained.network_file import build_network
from madnet.records import get_pretrained


def load_pretrained(
    name: str,
    device: str | torch.device = 'cpu',
    value_range: ValueRange = None,
) -> tuple[nn.Module, ImagePipeline]:
    """A network of the registry, ready to predict or to be trained further.

    Args:
        name: One of :func:`list_pretrained`, or of others that are fetched.
        device: Where to put it.
        value_range: Grey values that become black and white; see
            :class:`~madnet.datasets.image_pipeline.ImagePipeline`.

    Returns:
        The segmentor in evaluation mode, and the pipeline that turns an image file or array into what
        ``model.test_step`` takes (its normalisation is part of the segmentor)::

            model, pipeline = load_pretrained('madnet_nano')
            sample = pipeline('scene.png')
            result = model.test_step({k: [v] for k, v in sample.items()})[0]
            result.seg_logits.data  # (1, H, W) probabilities

    Raises:
        UserError: An unknown name, or a file that is missing, cannot be fetched or is not the registered one;
            or a part of the network is of a module that is not imported.
    """
    entry = get_pretrained(name)
    model, pipeline = build_network(read_json(entry.config), value_range, name)
    model.load_state_dict(read_registered(entry))
    return model.to(device), pipeline
