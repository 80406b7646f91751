"""Images that go through a network together."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from mmengine.logging import print_log
from torch import Tensor

Meta = TypeVar('Meta')

#: Pixels of images that go through a network at once: 32 of 256², 8 of 512².
PIXELS_TOGETHER = 2**21


def in_groups(
    run: Callable[[Sequence[Tensor], Sequence[Meta]], Sequence[Tensor]],
    images: Iterable[tuple[Tensor, Meta]],
    size_of: Callable[[Tensor], tuple[int, int]],
    pixels: int,
) -> Iterator[Tensor]:
    """What a network gives for images, in their order, those of one size run together.

    Images are asked for one by one, and results handed on as soon as they can be. A group for which the
    device's memory does not do is run in halves.

    Args:
        run: The network, on images (1, C, Hᵢ, Wᵢ) of one size as it sees them, and what is known of each.
        images: With that.
        size_of: Height and width at which the network sees an image.
        pixels: Of a group, at most; one image may have more. 0: every image is run by itself.
    """
    waiting: dict[Hashable, list[tuple[int, Tensor, Meta]]] = {}
    found: dict[int, Tensor] = {}
    given = 0
    for number, (image, meta) in enumerate(images):
        height, width = size = size_of(image)
        group = waiting.setdefault(size, [])
        group.append((number, image, meta))
        if (len(group) + 1) * height * width > pixels:
            found |= _run(run, waiting.pop(size))
        while given in found:
            yield found.pop(given)
            given += 1
    for group in waiting.values():
        found |= _run(run, group)
    yield from (found[number] for number in sorted(found))


def _run(run: Callable, group: Sequence[tuple[int, Tensor, Meta]]) -> dict[int, Tensor]:
    numbers, images, metas = zip(*group, strict=True)
    try:
        return dict(zip(numbers, run(images, metas), strict=True))
    except torch.OutOfMemoryError:
        if len(group) == 1:
            raise
    # outside of the handler, whose error holds on to what did not fit
    torch.cuda.empty_cache()
    print_log(f'{len(group)} images do not fit into memory together: run in halves.', 'current', 30)
    half = len(group) // 2
    return _run(run, group[:half]) | _run(run, group[half:])
