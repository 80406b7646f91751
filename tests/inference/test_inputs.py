"""Which images are meant, and under which names their results are filed."""

from pathlib import Path

import pytest

from madnet.errors import UserError
from madnet.inference.inputs import iterate, list_images, unique_names


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        (['x/a.png', 'x/b.png'], ['a', 'b']),
        (['x/a.png', 'x/a.jpg', 'x/b.png'], ['a_png', 'a_jpg', 'b']),
        (['x/a.png', 'y/a.png'], ['x_a', 'y_a']),
        (['x/y/a.png', 'z/y/a.png', 'y/b.png'], ['a_0', 'a_1', 'b']),
        (['x/a.png', 'y/a.png', 'y/x_a.png'], ['a_0', 'a_1', 'x_a']),
    ],
)
def test_names_tell_files_apart(paths, names):
    assert unique_names([Path(p) for p in paths]) == names


def test_names_of_frames_keep_off_those_of_files():
    paths, pages = [Path('x/pass.tif'), Path('x/pass_0001.png')], ('_0000', '_0001')
    assert unique_names(paths, [pages, ('',)]) == ['pass_tif', 'pass_0001_png']
    assert unique_names(paths, [('_0000',), ('',)]) == ['pass', 'pass_0001']


def test_a_file_given_twice():
    with pytest.raises(UserError, match='more than once'):
        unique_names([Path('x/a.png'), Path('x/../x/a.png')])


def test_a_link_is_a_file_of_its_own(tmp_path):
    (tmp_path / 'a.png').touch()
    (tmp_path / 'b.png').symlink_to('a.png')
    assert unique_names(list_images(tmp_path)) == ['a', 'b']


def test_numbers_in_names_count_by_their_value(tmp_path):
    for n in (10, 9, 0, 1, 2, 11):
        (tmp_path / f'{n}.png').touch()
    assert [p.stem for p in list_images(tmp_path)] == ['0', '1', '2', '9', '10', '11']


def test_folders(tmp_path):
    for name in ('b.PNG', 'a.tif', 'notes.txt', 'below/c.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path)] == ['a.tif', 'b.PNG']
    assert [f.path.name for f in iterate([tmp_path, str(tmp_path / 'below')])] == ['a.tif', 'b.PNG', 'c.png']
    with pytest.raises(UserError, match=r"Did you mean 'a\.tif'"):
        list_images(tmp_path / 'a.tiff')
    (tmp_path / 'empty' / 'deep').mkdir(parents=True)
    (tmp_path / 'empty' / 'deep' / 'd.png').touch()
    with pytest.raises(UserError, match='some in deep'):
        list_images(tmp_path / 'empty')


def test_images_in_sub_folders_are_told_but_not_those_that_a_prediction_wrote(tmp_path, caplog):
    below = ('day10/c.PNG', 'day2/d.png', 'masks/a.png', 'notes/e.txt', '.thumbs/a.png')
    for name in ('a.png', *below):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / '.madnet').write_text('masks\nscores\n')
    assert [p.name for p in list_images(tmp_path)] == ['a.png']
    [said] = caplog.messages
    assert (
        said == f'{tmp_path}: images in sub-folders (day2, day10) are left out, unless those are given, too.'
    )
    (tmp_path / 'f.txt').touch()
    list_images(tmp_path)
    assert '1 files are left out, of a kind that is not read: 1 .txt; images in sub-' in caplog.messages[-1]


def test_no_sub_folder_is_told_without_images_of_its_own_or_that_is_given(tmp_path, caplog):
    for name in ('a.png', 'hidden/.a.png', 'folders/b.png/c.txt', 'day1/a.png', 'day2/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    day1 = f'{tmp_path}/day2/../day1'
    assert len(list_images(tmp_path, given=[str(tmp_path), day1])) == 1
    assert 'sub-folders (day2) are' in caplog.messages[-1]
    told = len(caplog.messages)
    list_images(tmp_path, given=[tmp_path, day1, tmp_path / 'day2'])
    assert len(caplog.messages) == told
