"""What the tools print when something is wrong, and how they end."""

import pytest
from torch.utils.data import DataLoader

from madnet.engine.cli import DONE, STOPPED, USER_ERROR, run_tool
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import UserError

LINE = 'masks/3.png: found ValueError: 7, expected 0 or 255. Mend the mask.'


class Broken:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise UserError(LINE)


@pytest.mark.parametrize('workers', [0, 1])
def test_an_error_is_one_line_also_from_a_loading_process(capfd, workers):
    assert run_tool(lambda: list(DataLoader(Broken(), num_workers=workers))) == USER_ERROR
    assert capfd.readouterr().err == f'error: {LINE}\n'


def test_exit_codes(capfd):
    def stop(error):
        raise error

    assert run_tool(lambda: None) == DONE
    assert run_tool(stop, TrainingStopped('saved at epoch 3')) == STOPPED
    assert run_tool(stop, KeyboardInterrupt()) == STOPPED
    assert capfd.readouterr().err == 'saved at epoch 3\ninterrupted\n'
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 / 0)
