"""The benchmark of the selective scan: its tables, what it leaves out, and memory as it measures it."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from madnet.benchmarks import scan, scan_gpu
from madnet.benchmarks.models import measure
from madnet.benchmarks.scan_gpu import measure_scan
from madnet.errors import UserError
from madnet.ops import selective_scan, selective_scan_backends

has_kernels = 'cpu' in selective_scan_backends()


def test_twelve_scans_of_a_forward_pass():
    """31.5 million exponentials at 256×256."""
    shapes = scan.shapes_at(256)
    assert sum(s.times for s in shapes) == 12
    assert sum(s.times * s.exponentials for s in shapes) == 31_457_280


def test_the_tool(tmp_path, repository):
    out = tmp_path / 'scan.json'
    command = [
        sys.executable, 'tools/benchmark.py', 'scan', '--sizes', '64', '--backends', 'plain', 'torch',
        '--forward-only', '--json', str(out),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    entry = json.loads(out.read_text())['sizes']['64']
    assert len(entry['scans']) == 8
    plain, total = entry['totals']['plain'], entry['totals']['torch']
    assert total['forward'] == pytest.approx(sum(r['times'] * r['torch']['forward'] for r in entry['scans']))
    assert total['plain_over_this'] == {'forward': pytest.approx(plain['forward'] / total['forward'])}
    assert 'plain loop / this' in done.stdout
    assert entry['bounds']['memory'] > 0


def test_what_would_not_end_is_left_out_and_said(monkeypatch, capsys):
    """A limit that only the longest scan exceeds; ratios are then taken over the others."""
    monkeypatch.setattr(scan, 'seconds', lambda function, device, budget=1.0: 2.0)
    report = scan.benchmark([512], ['plain', 'torch'], forward_only=False, threads=1, device='cpu')
    entry = report['sizes']['512']
    left_out = [(s['backend'], s['scan'], s['kind']) for s in entry['skipped']]
    assert left_out == [('plain', 'outer 0', 'with_backward')]
    assert entry['totals']['plain']['with_backward'] is None
    assert entry['totals']['plain']['forward'] == entry['totals']['torch']['forward'] == 24.0
    assert entry['totals']['torch']['plain_over_this'] == {'forward': 1.0, 'with_backward': 1.0}
    assert 'left out: plain outer 0 with_backward: the backward pass of' in capsys.readouterr().out


def test_what_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(scan, '_memory_of_the_machine', lambda: 1 << 30)
    shape = scan.shapes_at(1024)[0]
    assert 'GiB' in scan.why_skipped('plain', shape, False)
    assert scan.why_skipped('torch', shape, False) is None


@pytest.mark.skipif(not has_kernels, reason='the compiled kernels were not built')
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the system does not tell the peak')
def test_a_forward_pass_of_the_kernels_takes_its_output_and_a_constant():
    shape = max(scan.shapes_at(1024), key=lambda s: s.exponentials)
    forward = scan.forward_of('cpu', scan.make_inputs(shape, 'cpu'))
    assert forward().nbytes == 32 << 20
    assert 31 << 20 < measure(forward, 'cpu', 0)['bytes'] < 34 << 20


class TestUsersMistakes:
    def test_unknown_backends(self):
        with pytest.raises(UserError, match='--backends cup: not among'):
            scan.benchmark([256], ['cup'], False, 1, 'cpu')

    def test_sizes_that_the_stages_do_not_divide(self):
        with pytest.raises(UserError, match='multiple of 64'):
            scan.benchmark([100], None, False, 1, 'cpu')


class TestOnAGpu:
    """The parts that need none, on the CPU: what is measured, written and left out."""

    def test_every_scan_is_written_as_soon_as_it_is_measured(self):
        seen = []
        report = measure_scan([64], [1, 2], 'cpu', repeats=1, write=lambda r: seen.append(len(r['scans'])))
        assert report['whole']
        assert seen == [*range(1, 17), *[16] * 17]
        first = report['scans'][0]
        assert (first['size'], first['batch'], first['scan'], first['times']) == (64, 1, 'inner 0', 1)
        assert first['measured']['torch']['forward']['wall'] > 0
        assert first['measured']['torch']['with_backward']['kernel'] is None
        assert report['scans'][8]['shape'][0] == 2 * first['shape'][0]
        json.dumps(report)

    def test_ends_when_time_is_up(self):
        report = measure_scan([64], [1], 'cpu', repeats=1, until=0.0)
        assert not report['whole']
        assert report['scans'] == []

    def test_torch_comes_last(self, monkeypatch):
        """It is the slowest, and no goal asks for it."""
        ways = []
        monkeypatch.setattr(scan_gpu, '_measured', lambda w, *_, **how: ways.append(list(w)) or {})
        report = measure_scan([64], [1], 'cpu')
        assert report['whole']
        assert ways[8:] == [['torch']] * 8
        assert not any('torch' in names for names in ways[:8])
        ways.clear()
        over = iter([False] * 8)
        monkeypatch.setattr(scan_gpu.time, 'monotonic', lambda: 0.0 if next(over, None) is False else 2.0)
        assert measure_scan([64], [1], 'cpu', until=1.0)['whole']
        assert len(ways) == 8

    def test_what_takes_long_is_not_repeated(self, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(scan_gpu.time, 'monotonic', lambda: now[0])
        taken = []

        def measurement(seconds):
            taken.append(seconds)
            now[0] += seconds
            return seconds

        for seconds, number in ((0.001, 20), (0.14, 3), (30.0, 1)):
            taken.clear()
            assert scan_gpu._shortest(lambda s=seconds: measurement(s), 20) == seconds
            assert len(taken) == number

    def test_inputs_are_drawn_on_their_device(self, monkeypatch):
        """On a card; there are billions of numbers."""
        drawn = []
        monkeypatch.setattr(
            scan.torch, 'Generator', lambda device: SimpleNamespace(manual_seed=lambda n: None)
        )
        randn = torch.randn
        monkeypatch.setattr(
            scan.torch,
            'randn',
            lambda *s, generator, device: drawn.append(device) or randn(*s),
        )
        assert all(t.device.type == 'meta' for t in scan.make_inputs(scan.shapes_at(64)[0], 'meta'))
        assert set(drawn) == {'meta'}

    def test_what_fails_is_said_and_the_others_are_measured(self, monkeypatch):
        def mamba_scan(u, delta, A, B, C, D, z, bias, softplus):
            if u.shape[-1] > 16:
                raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB\nmore')
            return selective_scan(u, delta, A, B, C, D, bias, softplus, backend='torch')

        package = SimpleNamespace(selective_scan_fn=mamba_scan)
        monkeypatch.setattr(scan_gpu, 'import_module', lambda name: package)
        inner, outer = measure_scan([64], [1], 'cpu', repeats=1)['scans'][:2]
        assert inner['measured']['mamba_ssm']['forward']['wall'] > 0
        assert inner['measured']['mamba_ssm with copies']['forward']['wall'] > 0
        assert outer['measured']['mamba_ssm'] == {'failed': 'CUDA out of memory. Tried to allocate 2 GiB'}
        assert outer['measured']['torch']['forward']['wall'] > 0

    def test_all_ways_compute_the_same(self):
        """The published network's copies around a scan over sequences, and ours over maps."""
        shape = scan.shapes_at(64)[1]
        tensors = scan_gpu._over_maps(shape, 'cpu')
        plain = lambda u, d, A, B, C, D, z, bias, s: selective_scan(u, d, A, B, C, D, bias, s)  # noqa: E731
        theirs = scan_gpu._published(plain, tensors[0].shape[1:3], *tensors)
        torch.testing.assert_close(theirs, scan_gpu._ours('torch')(*tensors))

    def test_least_bytes(self):
        """Of the outer scan of stage 0 at 256²: 1024 pixels, 64 channels, four directions, 16 states."""
        assert scan_gpu.bytes_over_maps(scan.shapes_at(256)[1]) == 4 * 1024 * (64 + 4 * (64 + 32) + 64)
