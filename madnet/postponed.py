"""Parts of mmengine and mmseg that take long to import and are seldom used: imported when somebody uses them.

For mmengine's sharded training PyTorch imports its distributed tensors, which import SymPy, and compiles its
optimisers: 1.4 of the 6 seconds in which a first frame was predicted. mmseg's tokenizer of texts takes 0.3,
what some of its networks need of SciPy as much. Each of these classes is there under its name, in its module
and in its registry; whoever calls it, derives from it or asks anything of it gets the real one.
"""

import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Module → what its package imports from it, and the registry that holds that.
POSTPONED = {
    'mmengine._strategy.fsdp': ('FSDPStrategy', 'mmengine.registry:STRATEGIES'),
    'mmengine.model.wrappers.fully_sharded_distributed': (
        'MMFullyShardedDataParallel',
        'mmengine.registry:MODEL_WRAPPERS',
    ),
    'mmengine.optim.optimizer.zero_optimizer': ('ZeroRedundancyOptimizer', 'mmengine.registry:OPTIMIZERS'),
    'mmseg.models.assigners.hungarian_assigner': ('HungarianAssigner', 'mmseg.registry:TASK_UTILS'),
    'mmseg.models.backbones.beit': ('BEiT', 'mmseg.registry:MODELS'),
    'mmseg.models.backbones.mae': ('MAE', 'mmseg.registry:MODELS'),
    'mmseg.utils.tokenizer': ('tokenize', None),
}
_waiting: set[str] = set()
_lock = threading.RLock()


def postpone_imports() -> None:
    """Have these modules imported late; those that have been imported already stay as they are."""
    _waiting.update(POSTPONED)
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds and loads a stand-in for a module as long as nobody has used it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _waiting else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module will do."""

    def exec_module(self, module: ModuleType) -> None:
        where = module.__name__
        name, registry = POSTPONED[where]
        late = _Late(name, (), {'__module__': where})
        setattr(module, name, late)

        def __getattr__(attribute: str) -> Any:
            if attribute.startswith('__'):  # whoever looks through all modules asks each for such
                raise AttributeError(attribute)
            return getattr(_real_module(where), attribute)

        module.__getattr__ = __getattr__  # type: ignore[method-assign]
        if registry is not None:
            _registry(registry).register_module(name, module=late)


def real(component: Any) -> Any:
    """What a class or a function stands for: itself, unless its import has been put off."""
    return component._real() if isinstance(component, _Late) else component


def _registry(place: str) -> Any:
    module, _, name = place.partition(':')
    return getattr(import_module(module), name)


def _real_module(name: str) -> ModuleType:
    with _lock:
        if name in _waiting:
            _waiting.remove(name)
            known, registry = POSTPONED[name]
            if registry is not None:
                _registry(registry)._module_dict.pop(known)  # the real one registers itself
            del sys.modules[name]
        return import_module(name)


class _Late(type):
    """The type of what stands for a class or a function of a module that is imported late."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        bases = tuple(base._real() if isinstance(base, _Late) else base for base in bases)
        return type(bases[0])(name, bases, namespace)

    def _real(cls) -> Any:
        return getattr(_real_module(cls.__module__), cls.__name__)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._real()(*args, **kwargs)

    def __getattr__(cls, attribute: str) -> Any:
        return getattr(cls._real(), attribute)

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__module__ not in _waiting and isinstance(instance, cls._real())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or (cls.__module__ not in _waiting and issubclass(subclass, cls._real()))
