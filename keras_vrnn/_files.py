"""Writing files so that nothing is lost: checked first, written beside the target, renamed at the end."""

import contextlib
import os
import pathlib
import tempfile


def check_writable(path, overwrite, argument="path"):
    """Makes sure that `path` can be written, before any work is spent on what goes into it.

    Args:
        path: the file to be written.
        overwrite: whether a file that is already there may be replaced.
        argument: the name of the caller's argument, for the error.

    Returns:
        The path as a `pathlib.Path`.

    Raises:
        FileExistsError: it exists and `overwrite` is False.
        FileNotFoundError, NotADirectoryError, PermissionError: its folder is missing or can't be written.
        IsADirectoryError: it is a folder.
    """
    path = pathlib.Path(path)
    folder = path.parent
    if path.is_dir():
        raise IsADirectoryError(f"{argument}: {str(path)!r} is a folder; name a file in it.")
    if not folder.exists():
        raise FileNotFoundError(f"{argument}: the folder {str(folder)!r} does not exist; create it first.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{argument}: {str(folder)!r} is not a folder.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{argument}: {str(path)!r} exists. Choose another name, or pass overwrite=True to replace it."
        )
    try:  # access() is no proof: a read-only file system says yes to root
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(f"{argument}: can't write into the folder {str(folder)!r}: {error}.") from error
    return path


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary name beside `path`; renamed to `path` if the block ends well, else removed.

    A reader sees the old file or the whole new one, never a part.
    """
    path = pathlib.Path(path)
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
