"""A network that learns from another: towards what, that nothing of the teacher stays, and who is refused."""

import re

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import madnet  # noqa: F401
from madnet.config_files import find_config_file
from madnet.engine.checkpoint import LAST, read_checkpoint
from madnet.engine.config import load_config
from madnet.engine.train import train
from madnet.errors import UserError
from madnet.pretrained import TeacherHook, load_pretrained
from madnet.pretrained.teaching import Teacher, _check_student


def network(mean=None, std=None):
    options = {'model.data_preprocessor.mean': mean, 'model.data_preprocessor.std': std} if mean else {}
    if mean and len(mean) > 1:
        channels = ('model.backbone.in_channels', 'replace_steps.LoadSIRSTImage.channels')
        options |= dict.fromkeys(channels, len(mean))
    cfg = load_config(find_config_file('madnet_nano'), options)
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def samples_of(labels, grey):
    samples = []
    for label, mask in zip(labels, grey, strict=True):
        sample = SegDataSample()
        sample.set_data({'gt_sem_seg': PixelData(data=label), 'gt_mask': PixelData(data=mask)})
        samples.append(sample)
    return samples


def test_masks_are_mixed_with_what_the_teacher_says_of_the_image_itself():
    student = network([80.0], [31.0])
    teacher, _ = load_pretrained('madnet_nano')
    torch.manual_seed(1)
    images = [torch.randint(0, 256, (1, 64, 48), dtype=torch.uint8) for _ in range(2)]
    labels = (torch.rand(2, 1, 64, 48) > 0.9).long()
    grey = (labels * 200).to(torch.uint8)
    labels[:, :, :5] = 255
    probabilities = torch.stack([s.seg_logits.data for s in teacher.test_step({'inputs': images})])

    mixed = Teacher(teacher, 'it', student, share=0.25)
    inputs = student.data_preprocessor({'inputs': images})['inputs']
    given = samples_of(labels, grey)
    found = mixed(inputs, given)
    targets = torch.stack([sample.gt_sem_seg.data for sample in found])
    counts = labels != 255
    expected = 0.75 * labels + 0.25 * probabilities
    torch.testing.assert_close(targets[counts], expected[counts], rtol=0, atol=1e-4)
    assert (targets[~counts] == 255).all()
    soft = torch.stack([sample.gt_mask.data for sample in found])
    torch.testing.assert_close(soft, 0.75 * grey + 0.25 * 255 * probabilities, rtol=0, atol=0.02)
    assert torch.equal(given[0].gt_sem_seg.data, labels[0])  # what the loader gave is left as it was


@pytest.mark.parametrize('soft', [False, True])
def test_a_network_that_is_its_own_teacher_is_trained_towards_its_own_maps(soft):
    student, _ = load_pretrained('madnet_nano')
    student.decode_head.soft_targets = soft
    images = [torch.full((1, 64, 64), 90, dtype=torch.uint8)]
    images[0][0, 30:33, 30:33] = 200
    empty = torch.zeros(1, 1, 64, 64, dtype=torch.long)
    inputs = student.data_preprocessor({'inputs': images})['inputs']
    plain = student.loss(inputs, samples_of(empty, empty))
    student.teacher = Teacher(student, 'itself', student, share=1)
    taught = student.loss(inputs, samples_of(empty, empty))
    assert list(taught) == list(plain)
    assert next(iter(taught.values())) < 0.5 < next(iter(plain.values()))


@pytest.fixture
def taught(tiny_text, tmp_path):
    """A training with hooks, of one epoch → its folder."""

    def call(name, hooks, **options):
        config = tmp_path / f'{name}.py'
        config.write_text(f'{tiny_text}\ncustom_hooks = {hooks!r}\n')
        options = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, **options}
        train(str(config), work_dir=str(tmp_path / name), options=options)
        return tmp_path / name

    return call


def weights(folder):
    return read_checkpoint(folder / LAST)['state_dict']


def teacher(name='madnet_nano', **settings):
    return {'type': 'TeacherHook', 'teacher': str(name), **settings}


def test_training_with_a_teacher_keeps_nothing_of_it(taught, capsys):
    alone, with_one = weights(taught('alone', [])), weights(taught('with_one', [teacher()]))
    assert 'learns from madnet_nano, 243,686 parameters, share 0.4' in capsys.readouterr().out
    assert alone.keys() == with_one.keys()
    assert any(not torch.equal(alone[key], with_one[key]) for key in alone)


def test_a_captured_step_learns_what_a_plain_one_does(taught, capsys):
    losses = []
    for step in (False, 'emulate'):
        taught(str(step), [teacher(share=0.7)], capture_step=step)
        losses.append(float(re.search(r'loss (\d+\.\d+)', capsys.readouterr().err)[1]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_an_exported_file_teaches(run, taught, tmp_path, capsys):
    file = tmp_path / 'nano.safetensors'
    code, _, err = run('export', 'madnet_nano', '--format', 'folded', '--out', file)
    assert code == 0, err
    taught('run', [teacher(file)])
    assert 'nano.safetensors, ' in capsys.readouterr().out


@pytest.mark.parametrize('share', [0, -0.1, 1.1, 'half', True, None])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match='share='):
        TeacherHook('madnet_nano', share)


def test_who_cannot_teach_or_learn_is_refused(run, tiny_text, tmp_path):
    def said(*options, name='madnet_nano'):
        config = tmp_path / 'taught.py'
        config.write_text(f'{tiny_text}\ncustom_hooks = {[teacher(name)]!r}\n')
        words = ['--cfg-options', *options] if options else []
        code, _, err = run('train', config, '--work-dir', tmp_path / 'run', *words)
        assert code == 2
        assert 'Traceback' not in err
        return err

    assert 'madnet_nono' in said(name='madnet_nono')
    assert "statistics='image'" in said('model.data_preprocessor.statistics=image')
    two = network()
    two.decode_head.out_channels = 2
    with pytest.raises(UserError, match='a PyramidHead of one channel'):
        _check_student(two)
    losses = "model.decode_head.loss_decode=[{'type':'SLSLoss'}]"
    assert 'SLSLoss' in said(losses)
    (tmp_path / 'weights.pth').write_bytes(b'')
    assert 'madnet export' in said(name=tmp_path / 'weights.pth')
    damaged = tmp_path / 'damaged.safetensors'
    damaged.write_bytes(b'no weights at all')
    assert 'damaged' in said(name=damaged)
    colour = network([1, 2, 3], [1, 2, 3])
    with pytest.raises(UserError, match=r'takes images of 1 channel\(s\), the network of 3'):
        Teacher(network(), 'it', colour, share=1)
