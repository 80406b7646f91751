"""What the transforms of a sample have in common."""

import inspect

from mmcv.transforms import BaseTransform


class SampleTransform(BaseTransform):
    """A transform that keeps its arguments as attributes of their names, and prints them."""

    def __repr__(self) -> str:
        arguments = (f'{name}={getattr(self, name)}' for name in inspect.signature(type(self)).parameters)
        return f'{type(self).__name__}({", ".join(arguments)})'
