"""Names of parameters in two conventions."""

from collections.abc import Mapping

from torch import Tensor

Names = dict[str, str]
"""Our name → the published name, of a module or of a parameter that sits directly in its parent."""


def nest(ours: str, published: str, names: Mapping[str, str]) -> Names:
    """The names of a block's parts, seen from the module that holds it as ``ours`` and ``published``."""
    return {f'{ours}.{a}': f'{published}.{b}' for a, b in names.items()}


def rename(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Renames the keys of a state dict; a key that ``names`` does not know raises ``KeyError``."""
    renamed = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition('.')
        renamed[names[key] if key in names else f'{names[module]}.{leaf}'] = value
    return renamed


def inverse(names: Mapping[str, str]) -> Names:
    """The published name → our name."""
    return {b: a for a, b in names.items()}
