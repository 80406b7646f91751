"""Puts our components within reach of mmengine's and mmseg's registries, and imports neither library.

A registry imports its *locations* when it is first asked for a component. :mod:`madnet.components`, which
imports everything that registers, becomes the first location of each registry: at once where the registries
exist already, else as soon as they do. So ``custom_imports = dict(imports=['madnet'])`` is all that a config
needs, in whatever order things are imported, and metrics and classical detectors do without torch.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

#: The modules that hold registries.
HOLDERS = ('mmengine.registry', 'mmseg.registry')
#: What the registries import.
COMPONENTS = 'madnet.components'


def offer_components() -> None:
    """Add the location to the registries that exist, and to the others when they are imported."""
    for name in HOLDERS:
        if name in sys.modules:
            _add_location(sys.modules[name])
    sys.meta_path.insert(0, _OnImport())


class _OnImport:
    """A finder that leaves finding to the others, and adds the location once the module has been executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in HOLDERS:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                _add_location(module)

            spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
        return spec


def _add_location(holder: ModuleType) -> None:
    registry_type = sys.modules['mmengine.registry'].Registry
    for registry in vars(holder).values():
        if isinstance(registry, registry_type) and COMPONENTS not in registry._locations:
            # A new list: registries without locations share their empty one. Ours comes first, as it imports
            # mmseg quietly. A registry that has imported its locations does so once more.
            registry._locations = [COMPONENTS, *registry._locations]
            registry._imported = False
