"""The command ``madnet``, and the tools of ``tools/``, which are the same.

Each module here is one command: its docstring describes it, ``EXAMPLES`` follows in its help,
``add_options(parser)`` says what it takes, and ``main(parser, arguments)`` does it and returns the exit code.
They import what computes only when they run, so that help is quick.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from madnet.config_files import config_names
from madnet.errors import nearest
from madnet.options import shown_program
from madnet.requirements import how_to_install
from madnet.starting import end_on_interrupt

#: The commands, in the order in which help names them; each is a module of this package.
COMMANDS = (
    *('train', 'test', 'predict', 'evaluate', 'compare', 'report', 'panel', 'dataset', 'export', 'convert'),
    'calibrate',
    *('pretrained', 'verify', 'probe', 'benchmark', 'demo', 'doctor'),
)
USAGE_ERROR = 2
_MORE = """
madnet COMMAND --help says more of each, with examples. For completion in bash and zsh:
  pip install "madnet[completion]"; eval "$(register-python-argcomplete madnet)"
"""
#: What an argument may be, beside files: name of the argument → its values.
_COMPLETIONS = {
    'config': lambda **_: [*config_names()],
    'networks': lambda **_: [*config_names()],
    'dataset': lambda **_: _data_sets(),
    'datasets': lambda **_: _data_sets(),
}


def run(command: str) -> int:
    """What a file of ``tools/`` does: a command, on the arguments of the process; returns the exit code."""
    return console([command, *sys.argv[1:]])


def console(arguments: Sequence[str] | None = None) -> int:
    """The command ``madnet`` as a process of its own; returns the exit code."""
    end_on_interrupt()
    if '_ARGCOMPLETE' in os.environ:
        _complete()
    return main(sys.argv[1:] if arguments is None else arguments)


def main(arguments: Sequence[str]) -> int:
    """Run ``madnet ARGUMENTS``.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong input, 130 stopped.

    Raises:
        SystemExit: Help was asked for, or the arguments are not understood.
    """
    if arguments and arguments[0] in _present():
        name, *rest = arguments
        try:
            return _module(name).main(make_parser(name), rest)
        except ModuleNotFoundError as e:
            line = how_to_install(e.name or '')
            if line is None:
                raise
            print(f'error: {line}', file=sys.stderr)
            return USAGE_ERROR
    parser = argparse.ArgumentParser(
        prog='madnet',
        usage='%(prog)s COMMAND [arguments]',
        description='Infrared small target detection: train, test, compare and use detectors.',
        epilog=_commands_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='store_true', help='print the version and stop')
    args, rest = parser.parse_known_args(arguments)
    if args.version:
        from madnet import __version__

        print(f'madnet {__version__}')
        return 0
    if rest:
        parser.error(f'no command {rest[0]!r}.{nearest(rest[0], _present())}')
    parser.print_help()
    return USAGE_ERROR


def make_parser(name: str) -> argparse.ArgumentParser:
    """The parser of a command."""
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=shown_program(name),
        description=module.__doc__,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_options(parser)
    return parser


def _complete() -> None:
    """Answer the shell that asks, by argcomplete's protocol, how a line may go on; ends the process."""
    import argcomplete

    parser = argparse.ArgumentParser(prog='madnet')
    commands = parser.add_subparsers(metavar='COMMAND')
    for name in _present():
        module = _module(name)
        command = commands.add_parser(name, help=_about(module))
        module.add_options(command)
        for action in command._actions:
            if action.dest in _COMPLETIONS:
                setattr(action, 'completer', _COMPLETIONS[action.dest])  # noqa: B010 argcomplete looks for it
    argcomplete.autocomplete(parser)


def _present() -> list[str]:
    return [name for name in COMMANDS if find_spec(f'{__name__}.{name}')]


def _module(name: str) -> ModuleType:
    return import_module(f'{__name__}.{name}')


def _about(module: ModuleType) -> str:
    return (module.__doc__ or '').strip().partition('\n')[0]


def _commands_text() -> str:
    lines = [f'  {name:11} {_about(_module(name))}' for name in _present()]
    return '\n'.join(['commands:', *lines, *_MORE.splitlines()])


def _data_sets() -> list[str]:
    from madnet.datasets.catalogue import known_datasets

    return [entry.short for entry in known_datasets().values()]
