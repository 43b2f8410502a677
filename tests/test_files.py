import os
import stat

import pytest

from keras_vrnn import _files


def test_checked_path_comes_back(tmp_path):
    assert _files.check_writable(str(tmp_path / "a"), overwrite=False) == tmp_path / "a"
    assert list(tmp_path.iterdir()) == []


def test_existing_file_needs_a_word(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileExistsError, match=r"csv: .* exists. Choose another name, or pass overwrite=True"):
        _files.check_writable(tmp_path / "a", False, "csv")
    assert _files.check_writable(tmp_path / "a", True) == tmp_path / "a"


def test_folders_that_cannot_hold_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IsADirectoryError, match="is a folder; name a file in it"):
        _files.check_writable(tmp_path, False)
    with pytest.raises(FileNotFoundError, match=r"the folder .*missing' does not exist"):
        _files.check_writable(tmp_path / "missing" / "a", False)
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        _files.check_writable(tmp_path / "file" / "a", False)


def test_unwritable_folder():
    # /proc takes no file from anybody, root included; a folder's mode would not stop root.
    with pytest.raises(PermissionError, match="can't write into the folder '/proc'"):
        _files.check_writable("/proc/a", False)


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")

    def fail():
        with _files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with _files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_replaced_file_has_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "ordinary").write_text("")
    with _files.replacing(tmp_path / "a") as temporary:
        temporary.write_text("")
    modes = {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("ordinary", "a")}
    assert len(modes) == 1
