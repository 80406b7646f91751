"""Calls a tool as its user would, without paying for a new process each time."""

import importlib.util
import sys

import pytest


@pytest.fixture
def run(repository, monkeypatch, capsys):
    """``run('train', 'config.py', '--seed', '1')`` → (exit code, standard output, standard error)."""

    def call(tool: str, *args) -> tuple[int, str, str]:
        path = repository / 'tools' / f'{tool}.py'
        spec = importlib.util.spec_from_file_location(f'tool_{tool}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        capsys.readouterr()
        try:
            code = module.main()
        except SystemExit as e:
            code = e.code
        out, err = capsys.readouterr()
        return code, out, err

    return call
