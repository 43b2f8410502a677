"""Writes files so that nothing is lost: checked first, written beside the target, renamed at the end."""

import contextlib
import os
import pathlib
import tempfile


def check_writable(path, overwrite, argument="path"):
    """Makes sure that `path` can be written, before any work is spent on its content.

    Args:
        path: the file to be written.
        overwrite: whether an existing file may be replaced.
        argument: the name of the caller's argument, for the error.

    Returns:
        The path as a `pathlib.Path`.

    Raises:
        FileExistsError: it exists and `overwrite` is False, or it is not a regular file, which renaming would
            replace: a symbolic link, a device, a pipe.
        FileNotFoundError, NotADirectoryError, PermissionError: its folder is missing or can't be written.
        IsADirectoryError: it is a folder.
    """
    path = pathlib.Path(path)
    folder = path.parent
    received = f"Received: {argument}={str(path)!r}"
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(
            f"`{argument}` must be a file. {received}, which is a folder. Name a file in it."
        )
    check_folder(folder, argument, path)
    _check_regular(path, argument)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"`{argument}` must not name an existing file. {received}, which exists. Pass overwrite=True to replace "
            "it, as when a notebook cell runs again, or choose another name."
        )
    return path


def check_folder(folder, argument, value):
    """Raises OSError unless new files can be written into a folder; `value` is what the caller's argument holds."""
    received = f"Received: {argument}={str(value)!r}"
    if not folder.exists():
        raise FileNotFoundError(
            f"`{argument}` must be in an existing folder. {received}, but the folder {str(folder)!r} does not exist."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"`{argument}` must be in a folder. {received}, but {str(folder)!r} is a file."
        )
    try:  # access() proves nothing: for root it allows writing to a read-only file system
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(
            f"`{argument}` must be in a writable folder. {received}, but one can't write into the folder "
            f"{str(folder)!r}: {error}"
        ) from error


def check_targets(folder, targets, overwrite, argument="folder"):
    """Makes sure that files can be written into a folder, which may have to be created; raises as `check_writable`."""
    folder = existing = pathlib.Path(folder)
    while not (existing.exists() or existing.is_symlink()):
        existing = existing.parent
    check_folder(existing, argument, folder)
    for target in targets:
        if target.parent.exists():
            check_writable(target, overwrite, argument)


def _check_regular(path, argument):
    """Raises if renaming a file to `path` would replace something other than a regular file."""
    received = f"Received: {argument}={str(path)!r}"
    if path.is_symlink():
        raise FileExistsError(
            f"`{argument}` must not be a symbolic link, which would be replaced. {received}. Name the file that it "
            f"points to, {os.path.realpath(path)!r}."
        )
    if path.exists() and not path.is_file():
        raise FileExistsError(
            f"`{argument}` must be a regular file. {received}, a device, pipe or socket, which would be replaced. "
            "Choose another name."
        )


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary name beside `path`, which becomes `path` if the block succeeds, and is removed if not.

    A reader sees the old file or the whole new one, never a part.
    """
    path = pathlib.Path(path)
    _check_regular(path, "path")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(descriptor)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's file is private; this one is like any other
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
