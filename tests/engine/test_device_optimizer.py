"""The optimiser on the device: the gradients of several processes."""

import socket

import torch

from madnet.engine import device_optimizer


def _average_in(rank, folder, port):
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2
    )
    gradients = [torch.full((2, 3), 1.0 + rank), torch.arange(4.0) * (1 - 2 * rank)]
    device_optimizer._average(gradients)
    torch.save(gradients, folder / f'{rank}.pth')


def test_processes_share_their_gradients_in_one_exchange(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_average_in, (tmp_path, port), nprocs=2)
    for rank in range(2):
        first, second = torch.load(tmp_path / f'{rank}.pth')
        assert torch.equal(first, torch.full((2, 3), 1.5))
        assert torch.equal(second, torch.zeros(4))
