"""What a comparison makes of a work folder where something changed after it had been there."""

import os
from pathlib import Path

import pytest

from madnet.engine import train as training
from madnet.errors import UserError
from madnet.experiments import running
from madnet.experiments.plan import read_plan
from madnet.experiments.state import state_of
from madnet.files import sha256_of
from madnet.records import MetricsFile, RunFile


def test_a_run_that_began_from_weights_that_changed_is_not_done(plan_file, tmp_path, monkeypatch):
    weights = tmp_path / 'weights.pth'
    weights.write_bytes(b'first')
    first = sha256_of(weights)
    run = read_plan(plan_file, seeds=[1], options={'load_from': str(weights)}).runs()[0]
    file = Path(run.folder, RunFile.FILE)

    def stopped(*args, **kwargs):
        assert RunFile.read(file).load_from_sha256 == first
        Path(run.folder, 'last.pth').touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, 'train', stopped)
    with pytest.raises(KeyboardInterrupt):
        running.do_run(run)
    weights.write_bytes(b'retrained')
    os.utime(weights, ns=(1, 1))
    with pytest.raises(KeyboardInterrupt):
        running.do_run(run)  # goes on with what it began with
    with pytest.raises(UserError, match=rf'load_from {weights}: {first} → {sha256_of(weights)}\.'):
        state_of(run)

    Path(run.folder, 'last.pth').unlink()
    RunFile(run.wanted(), True, state='done', load_from_sha256=first).write(file)
    monkeypatch.setattr('madnet.experiments.state._as_planned', lambda *_: True)
    MetricsFile({'native': {}}).write(Path(run.folder, MetricsFile.FILE))
    with pytest.raises(UserError, match='what differs'):
        state_of(run)
    RunFile(run.wanted(), True, state='done').write(file)
    assert state_of(run) == 'done', 'of an older record no more is known'
    RunFile(run.wanted(), True, state='done', load_from_sha256=first).write(file)
    weights.unlink()
    assert state_of(run) == 'done', 'of weights that are gone no more is known'
