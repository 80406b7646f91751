"""The command ``madnet``, and the tools of ``tools/``, which are the same.

Each module here is one command: its docstring describes it, ``EXAMPLES`` follows in its help,
``add_options(parser)`` says what it takes, and ``work(args)`` imports what does it and returns that as a
function, for :func:`~madnet.engine.cli.run_tool`; nothing else imports what computes, so that help is quick.
Where options depend on one another, ``parse(parser, arguments)`` looks at them together.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from types import ModuleType

from madnet.config_files import config_and_weights, config_names
from madnet.errors import nearest
from madnet.options import as_words, shown_program
from madnet.requirements import what_is_wrong
from madnet.starting import end_on_interrupt

#: The commands, in the order in which help names them; each is a module of this package.
COMMANDS = (
    *('train', 'test', 'predict', 'evaluate', 'compare', 'report', 'panel', 'dataset', 'export', 'convert'),
    'calibrate',
    *('pretrained', 'verify', 'probe', 'benchmark', 'demo', 'doctor'),
)
#: Those that cannot do without the images of their ``--dataset`` and their masks.
_WANT_IMAGES = ('train', 'test', 'calibrate')
#: Those that take a config and its weights, or the folder in which a training left both.
_WANT_WEIGHTS = ('test', 'predict', 'export', 'calibrate', 'probe')
USAGE_ERROR = 2
_MORE = """
madnet COMMAND --help says more of each, with examples. For completion in bash and zsh:
  pip install "madnet[completion]"; eval "$(register-python-argcomplete madnet)"
"""


def run(command: str) -> int:
    """What a file of ``tools/`` does: a command, on the arguments of the process; returns the exit code."""
    return console([command, *sys.argv[1:]])


def console(arguments: Sequence[str] | None = None) -> int:
    """The command ``madnet`` as a process of its own; returns the exit code."""
    end_on_interrupt()
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')  # its lines name no file; ours do
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
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
        try:
            args = parse(name, rest)
            if code := _look_for(name, args):
                return code
            work = _module(name).work(args)

            from madnet.engine.cli import run_tool

            return run_tool(work)
        except (ImportError, OSError) as e:  # OSError: where ctypes loads a library, as torch does
            line = what_is_wrong(e)
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
        parser.error(f'no command {rest[0]!r}.{nearest(rest[0], COMMANDS)}')
    parser.print_help()
    return USAGE_ERROR


def parse(name: str, arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command, by name.

    Raises:
        SystemExit: As of :func:`main`.
    """
    module, arguments = _module(name), as_words(arguments)
    parser = argparse.ArgumentParser(
        prog=shown_program(name),
        description=module.__doc__,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_options(parser)
    return module.parse(parser, arguments) if hasattr(module, 'parse') else parser.parse_args(arguments)


class _Tell(argparse.Action):
    """Prints a text that is made then, and leaves, whatever else is missing."""

    def __call__(self, parser: argparse.ArgumentParser, *_) -> None:
        from madnet.engine.cli import run_tool

        parser.exit(run_tool(self.const))


def add_list(
    parser: argparse.ArgumentParser, text: Callable[[], str], about: str, option: str = '--list'
) -> None:
    """Add an option that prints what there is, and stops."""
    parser.add_argument(
        option, action=_Tell, dest=argparse.SUPPRESS, const=text, nargs=0, help=f'print {about} and stop'
    )


def _look_for(name: str, args: argparse.Namespace) -> int:
    """Find config and weights in a folder of both. The exit code where they, or a data set that was named,
    are not there, which is known before much is imported."""
    key = 'config' if 'config' in args else 'model'
    wants_weights = name in _WANT_WEIGHTS and os.path.exists(getattr(args, key))
    wants_images = name in _WANT_IMAGES and args.dataset not in (None, 'synthetic')
    if not wants_weights and (not wants_images or getattr(args, 'print_config', False)):
        return 0

    from madnet.datasets.locate import locate
    from madnet.datasets.sources import find_sources
    from madnet.engine.cli import run_tool

    def look() -> None:
        if wants_weights:
            config, args.checkpoint = config_and_weights(getattr(args, key), args.checkpoint)
            setattr(args, key, config)
        for source in find_sources(args.dataset) if wants_images else ():
            locate(source.arguments.get('data_root'), source.arguments.get('name'))

    try:
        return run_tool(look)
    finally:
        end_on_interrupt()


def _complete() -> None:
    """Answer the shell that asks, by argcomplete's protocol, how a line may go on; ends the process."""
    import argcomplete

    parser = argparse.ArgumentParser(prog='madnet')
    commands = parser.add_subparsers(metavar='COMMAND')
    for name in COMMANDS:
        module = _module(name)
        command = commands.add_parser(name, help=_about(module))
        module.add_options(command)
        _offer_words(command, name)
    argcomplete.autocomplete(parser)


def _detectors() -> Iterable[str]:
    from madnet.inference.naming import detector_names

    return detector_names()


def _registered() -> Iterable[str]:
    from madnet.records import list_registered

    return list_registered()


def _data_sets() -> Iterable[str]:
    from madnet.datasets.sources import short_names

    return short_names()


def _splits() -> Iterable[str]:
    from madnet.datasets.splits import SPLITS

    return SPLITS


def _formats() -> Iterable[str]:
    from madnet.inference.clip_outputs import CLIP_FORMATS
    from madnet.inference.outputs import FORMATS

    return {**FORMATS, **CLIP_FORMATS}


def _protocols() -> Iterable[str]:
    from madnet.evaluation.protocols import PROTOCOLS

    return [*PROTOCOLS, 'all']


def _sweeps() -> Iterable[str]:
    return _module('probe').SWEEPS


#: Argument, of any command or of the one named before it → the words that it takes (none of these functions
#: imports PyTorch), and whether files as well.
_WORDS: dict[str, tuple[Callable[[], Iterable[str]], bool]] = {
    **dict.fromkeys(('config', 'networks', 'benchmark models configs'), (config_names, True)),
    **dict.fromkeys(('inputs', 'model', 'models', 'beside'), (_detectors, True)),
    **dict.fromkeys(('dataset', 'datasets', 'data', 'sets'), (_data_sets, True)),
    **{f'dataset {name} source': (_data_sets, True) for name in ('check', 'convert', 'browse')},
    **{f'dataset {name} name': (_data_sets, False) for name in ('list', 'prepare')},
    **dict.fromkeys(('verify name', 'pretrained card name', 'pretrained fetch name'), (_registered, False)),
    'split': (_splits, False),
    'format': (_formats, False),
    'protocols': (_protocols, False),
    'only': (_sweeps, False),
}


def _offer_words(parser: argparse.ArgumentParser, command: str) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                _offer_words(inner, f'{command} {name}')
        elif not action.choices:
            found = _WORDS.get(f'{command} {action.dest}') or _WORDS.get(action.dest)
            if found:
                setattr(action, 'completer', partial(_completed, *found))  # noqa: B010


def _completed(words: Callable[[], Iterable[str]], files: bool, prefix: str, **_) -> list[str]:
    """How a value may go on; of several with commas, what stands behind the last one."""
    from argcomplete.completers import FilesCompleter

    before, comma, last = prefix.rpartition(',')
    return [before + comma + word for word in (*words(), *(FilesCompleter()(last) if files else ()))]


def _module(name: str) -> ModuleType:
    return import_module(f'{__name__}.{name}')


def _about(module: ModuleType) -> str:
    return (module.__doc__ or '').strip().partition('\n')[0]


def _commands_text() -> str:
    lines = [f'  {name:11} {_about(_module(name))}' for name in COMMANDS]
    return '\n'.join(['commands:', *lines, *_MORE.splitlines()])
