import os
import stat

import pytest

from keras_vrnn import _files


def test_checked_path_comes_back(tmp_path):
    assert _files.check_writable(str(tmp_path / "a"), overwrite=False) == tmp_path / "a"
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_replaced_only_on_request(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(
        FileExistsError, match=r"`csv` must not name an existing file.*a', which exists. Pass overwrite=True"
    ):
        _files.check_writable(tmp_path / "a", False, "csv")
    assert _files.check_writable(tmp_path / "a", True) == tmp_path / "a"


def test_folders_that_cannot_hold_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IsADirectoryError, match=r"which is a folder. Name a file in it"):
        _files.check_writable(tmp_path, False)
    with pytest.raises(FileNotFoundError, match=r"the folder .*missing' does not exist"):
        _files.check_writable(tmp_path / "missing" / "a", False)
    with pytest.raises(NotADirectoryError, match="must be in a folder"):
        _files.check_writable(tmp_path / "file" / "a", False)


def test_unwritable_folder():
    # /proc takes no file from anybody, root included; a folder's mode would not stop root.
    with pytest.raises(PermissionError, match="can't write into the folder '/proc'"):
        _files.check_writable("/proc/a", False)


def special(folder, kind):
    """Makes something that a rename would replace although it is not a regular file."""
    path = folder / kind
    if kind == "pipe":
        os.mkfifo(path)
    else:
        (folder / "real").write_text("precious")
        path.symlink_to(folder / {"link": "real", "dangling link": "nothing", "folder link": "."}[kind])
    return path


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link", "folder link"])
def test_only_regular_files_are_replaced(tmp_path, kind, overwrite):
    path = special(tmp_path, kind)
    message = "must be a regular file" if kind == "pipe" else "must not be a symbolic link"
    with pytest.raises(FileExistsError, match=message):
        _files.check_writable(path, overwrite)
    # A writer without an argument `overwrite`, such as Symbols.save, replaces regular files only, too.
    with pytest.raises(FileExistsError, match=message), _files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.is_symlink() != (kind == "pipe")
    assert kind != "pipe" or stat.S_ISFIFO(path.stat().st_mode)
    assert not list(tmp_path.glob(".*"))


def test_a_device_is_not_replaced():
    with pytest.raises(FileExistsError, match=r"path='/dev/null', a device, pipe or socket"):
        _files.check_writable("/dev/null", True)


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
