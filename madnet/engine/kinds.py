"""Which class a name in a config stands for."""

from typing import Any

from mmengine.registry import Registry

from madnet.postponed import real


def is_kind(name: Any, registry: Registry, base: type) -> bool:
    """Whether what a config names, or has itself as its type, is a class or one derived from it."""
    found = real(registry.get(name) if isinstance(name, str) else name)
    return isinstance(found, type) and issubclass(found, base)
