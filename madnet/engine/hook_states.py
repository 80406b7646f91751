"""What the hooks of a training have counted so far, for its checkpoints."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from mmengine.hooks import EarlyStoppingHook, Hook

from madnet.errors import UserError, in_brief


def hook_states(hooks: Iterable[Hook]) -> dict[str, list[dict[str, Any]]]:
    """Name of a class → the states of its hooks, in the order in which they are called.

    Hooks with a state are mmengine's ``EarlyStoppingHook``, and all, the user's own too, that have methods
    ``state_dict()``, of tensors, numbers, strings, lists and dicts, and ``load_state_dict(state)``.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for hook in hooks:
        if _says_its_state(hook):
            state = hook.state_dict()
        elif isinstance(hook, EarlyStoppingHook):
            state = {'wait_count': hook.wait_count, 'best_score': hook.best_score}
        else:
            continue
        found.setdefault(type(hook).__name__, []).append(state)
    return found


def _says_its_state(hook: Hook) -> TypeGuard[Any]:
    return hasattr(hook, 'state_dict') and hasattr(hook, 'load_state_dict')


def load_hook_states(hooks: Iterable[Hook], states: Any, where: object) -> None:
    """Give hooks the states of :func:`hook_states`; a hook that the former run did not have begins anew.

    Args:
        hooks: Of the run that goes on.
        states: As they lie in the checkpoint.
        where: The checkpoint's path, for messages.

    Raises:
        UserError: A hook does not take its state.
    """
    left = {name: iter(each) for name, each in states.items()} if isinstance(states, Mapping) else {}
    for hook in hooks:
        name = type(hook).__name__
        state = next(left.get(name, iter(())), None)
        if state is None:
            continue
        try:
            _load(hook, state)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
            raise UserError(
                f'checkpoint {where}: {name} does not take the state that it has in it ({in_brief(e)}). '
                'Resume with the hook that the run had, or start a new run from its weights with --load-from.'
            ) from e


def _load(hook: Hook, state: Any) -> None:
    if _says_its_state(hook):
        hook.load_state_dict(state)
    elif isinstance(hook, EarlyStoppingHook):
        hook.wait_count, hook.best_score = int(state['wait_count']), float(state['best_score'])
