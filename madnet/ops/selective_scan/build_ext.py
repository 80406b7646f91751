"""How setup.py builds the compiled backend: needs setuptools alone, and never makes an installation fail.

In setup.py, with this file loaded by its path::

    setup(ext_modules=extensions(), cmdclass={'build_ext': OptionalBuildExt})
"""

import os
import platform
import sys

from setuptools import Extension
from setuptools.command.build_ext import build_ext

FOLDER = 'madnet/ops/selective_scan'  # setuptools wants it relative to setup.py
BASE_FLAGS = ['-std=gnu11', '-O3', '-fvisibility=hidden']
# Tried in turn: Apple's clang, for one, has no OpenMP.
OPENMP_FLAGS: tuple[list[str], ...] = (['-fopenmp'], [])


def extensions() -> list[Extension]:
    """The shared library of kernels. It is loaded with ctypes and holds no Python module."""
    return [
        Extension(
            'madnet.ops.selective_scan._kernels',
            sources=[f'{FOLDER}/csrc/dispatch.c', f'{FOLDER}/csrc/kernels.c'],
            depends=[f'{FOLDER}/csrc/scan.h'],
        )
    ]


def _variants() -> dict[str, list[str]]:
    """Instruction sets to compile the kernels for, chosen among when the library is loaded."""
    variants: dict[str, list[str]] = {'baseline': []}
    if platform.machine().lower() in ('x86_64', 'amd64'):
        variants['avx2'] = ['-mavx2', '-mfma']
    return variants


def _tell(message: str) -> None:
    """On standard error and, as pip shows that with ``-v`` only, on the terminal where there is one."""
    print(message, file=sys.stderr)
    if not sys.stderr.isatty():
        try:
            with open('/dev/tty', 'w') as terminal:
                print(message, file=terminal)
        except OSError:  # no terminal, as in CI, or no such file, as on Windows
            pass


class OptionalBuildExt(build_ext):
    """Builds the kernels once for each instruction set; where that fails, says in one line what is lost."""

    def build_extension(self, ext: Extension) -> None:
        try:
            self._build(ext)
        except Exception as error:  # compilers fail in many ways, and none of them may stop the installation
            compiler = getattr(self.compiler, 'compiler_so', None) or ['compiler']
            _tell(
                'madnet: WARNING: the compiled CPU kernels of selective_scan were not built '
                f'({compiler[0]}: {type(error).__name__}); everything works, but MiM-ISTD runs several times '
                'slower on a CPU. Install a C compiler and install again to have them.'
            )

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []  # there is no PyInit function to export

    def copy_extensions_to_source(self) -> None:
        """In-place builds copy what was built, and only that."""
        build_py = self.get_finalized_command('build_py')
        for ext in self.extensions:
            inplace_file, regular_file = self._get_inplace_equivalent(build_py, ext)
            if os.path.exists(regular_file):
                self.copy_file(regular_file, inplace_file, level=self.verbose)

    def _build(self, ext: Extension) -> None:
        if self.compiler.compiler_type != 'unix':
            raise RuntimeError('the kernels need GCC or Clang')
        dispatch, kernels = ext.sources
        variants = _variants()
        for i, openmp in enumerate(OPENMP_FLAGS):
            try:
                flags = BASE_FLAGS + openmp
                macros = [('SCAN_WITH_AVX2', None)] if 'avx2' in variants else []
                objects = self.compiler.compile(
                    [dispatch],
                    output_dir=self.build_temp,
                    macros=macros,
                    extra_postargs=flags,
                    depends=ext.depends,
                )
                for name, instructions in variants.items():
                    objects += self.compiler.compile(
                        [kernels],
                        output_dir=os.path.join(self.build_temp, name),
                        macros=[('SCAN_NAME', name)],
                        extra_postargs=flags + instructions,
                        depends=ext.depends,
                    )
                self.compiler.link_shared_object(
                    objects,
                    self.get_ext_fullpath(ext.name),
                    extra_postargs=openmp,
                    build_temp=self.build_temp,
                )
                return
            except Exception:
                if i == len(OPENMP_FLAGS) - 1:
                    raise
