"""A resolved config, whose text is wanted again and again."""

from mmengine.config import Config


class StaticConfig(Config):
    """A config whose text is formatted anew only where it has changed: that takes YAPF some tenths of a
    second, and logs and every checkpoint hold it."""

    @property
    def pretty_text(self) -> str:
        """The config as a Python file."""
        content = repr(self._cfg_dict.to_dict())
        known = self.__dict__.get('_formatted')
        if known is None or known[0] != content:
            known = content, super().pretty_text
            self.__dict__['_formatted'] = known  # beside the keys, which mmengine's __setattr__ would set
        return known[1]
