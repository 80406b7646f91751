"""YAML that is data: no tag builds an object, no key stands twice."""

from typing import Any

import yaml

from madnet.errors import UserError


class _PlainLoader(yaml.SafeLoader):
    """Knows the tag of tuples, which mmengine's own files have."""

    def compose_mapping_node(self, anchor):
        """Refuse a key that stands twice: the last would win without a word."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != '<<':
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(None, None, f'{key.value!r} twice', key.start_mark)
                seen.add((key.tag, key.value))
        return node


def _tuple(loader: _PlainLoader, node: yaml.SequenceNode) -> tuple:
    return tuple(loader.construct_sequence(node, deep=True))


_PlainLoader.add_constructor('tag:yaml.org,2002:python/tuple', _tuple)


def read_yaml(text) -> Any:
    """YAML (text or an open file) as plain data.

    Raises:
        UserError: No YAML, a key twice in one mapping, or tags that would build Python objects.
    """
    try:
        return yaml.load(text, _PlainLoader)
    except yaml.MarkedYAMLError as e:
        where = f'line {e.problem_mark.line + 1}: ' if e.problem_mark else ''
        raise UserError(f'not readable as plain YAML ({where}{e.problem}).') from None
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        raise UserError(f'not readable as plain YAML ({e}).') from None
