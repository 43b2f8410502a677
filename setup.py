"""Builds the native kernel where a C++ compiler is found; the package works without it: keras_vrnn/native/README.md."""

import os
import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

native = runpy.run_path("keras_vrnn/native/sources.py")
library = native["library"]()


class BuildLibrary(build_ext):
    """TensorFlow loads the library; it is no module of Python, and its name names no version of Python."""

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split(".")[:-1], library.name)

    def build_extension(self, ext):
        try:
            native["build"](Path(self.get_ext_fullpath(ext.name)))
        except RuntimeError as error:
            raise CompileError(str(error)) from error  # a warning: the extension is optional


class Wheel(bdist_wheel):
    """One wheel for all versions of Python; and for all machines, if there is no library in it."""

    def get_tag(self):
        built = any(Path(self.bdist_dir).rglob(library.name))
        return "py3", "none", super().get_tag()[2] if built else "any"


setup(
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": Wheel},
    ext_modules=[Extension(f"keras_vrnn.native.{library.stem}", sources=[], optional=True)],
)
