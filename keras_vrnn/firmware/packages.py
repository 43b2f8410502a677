"""Folders that a tool chain takes as they are: the two sources, and the files by which the tool chain finds them.

CMake: https://cmake.org/cmake/help/latest/command/add_library.html. Arduino: the library specification 1.5. ESP-IDF:
components of its build system, and the manifest of the component manager. Zephyr: modules with a `zephyr/module.yml`.
"""

import re

from keras_vrnn._version import __version__
from keras_vrnn.tflite.reading import LENGTH

_CMAKE = """\
cmake_minimum_required(VERSION 3.13)
project({name} C)
add_library({name} STATIC {name}.c)
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
set_target_properties({name} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
"""

_ESP_CMAKE = """\
idf_component_register(SRCS "{name}.c" INCLUDE_DIRS ".")
"""

_ESP_MANIFEST = """\
version: "{version}"
description: A recurrent network as integer C code, written by keras-vrnn
dependencies:
  idf: ">=4.4"
"""

_ZEPHYR_MODULE = """\
name: {name}
build:
  cmake: zephyr
  kconfig: zephyr/Kconfig
"""

_ZEPHYR_CMAKE = """\
if(CONFIG_{upper}_MODEL)
  zephyr_library_named({name})
  zephyr_library_sources(${{CMAKE_CURRENT_SOURCE_DIR}}/../{name}.c)
  zephyr_include_directories(${{CMAKE_CURRENT_SOURCE_DIR}}/..)
endif()
"""

_ZEPHYR_KCONFIG = """\
config {upper}_MODEL
\tbool "The recurrent network {name}"
\tdefault y
"""

_ARDUINO = """\
name={name}
version={version}
author=keras-vrnn
maintainer=keras-vrnn
sentence=A recurrent network as integer C code.
paragraph=It needs no other library.
category=Data Processing
url=https://www.arduino.cc/reference/en/libraries/
architectures=*
includes={name}.h
"""

_SKETCH = """\
// Prints what the network makes of an input of zeros. Put the readings of a sensor in their place.
#define {upper}_FLOAT
#include <{name}.h>

static {name}_state state;
{arrays}
void setup() {{
  Serial.begin(115200);
{reset}}}

void loop() {{
{inputs}  if ({call} != 0) return;
{outputs}  Serial.println();
  delay(100);
}}
"""


def files(package, name, program, header, source):
    """Returns place in the folder -> text of the files of a package.

    Args:
        package: as for `write_c`.
        name: the name of the sources.
        program: the `Program`.
        header, source: their texts.
    """
    texts = {"h": header, "c": source}
    values = {"name": name, "upper": name.upper(), "version": re.match(r"\d+\.\d+\.\d+", __version__)[0]}
    values |= _sketch(program, name) if package == "arduino" else {}
    return {
        place: texts[template] if template in texts else template.format(**values)
        for place, template in _layout(package, name).items()
    }


def places(package, name):
    """Returns the places of the files of a package in its folder."""
    return list(_layout(package, name))


def _layout(package, name):
    """Returns place -> template; "h" and "c" stand for the sources."""
    plain = {f"{name}.h": "h", f"{name}.c": "c"}
    layouts = {
        None: plain,
        "cmake": plain | {"CMakeLists.txt": _CMAKE},
        "arduino": {
            f"src/{name}.h": "h",
            f"src/{name}.c": "c",
            "library.properties": _ARDUINO,
            f"examples/{name}/{name}.ino": _SKETCH,
        },
        "esp-idf": plain | {"CMakeLists.txt": _ESP_CMAKE, "idf_component.yml": _ESP_MANIFEST},
        "zephyr": plain
        | {
            "zephyr/module.yml": _ZEPHYR_MODULE,
            "zephyr/CMakeLists.txt": _ZEPHYR_CMAKE,
            "zephyr/Kconfig": _ZEPHYR_KCONFIG,
        },
    }
    if package not in layouts:
        expected = ", ".join(repr(known) for known in layouts if known)
        raise ValueError(f"`package` must be {expected} or None. Received: package={package!r}")
    return layouts[package]


def _sketch(program, name):
    """Returns the parts of an Arduino sketch that depend on the program."""
    edges = [*program.inputs, *program.outputs]
    verb = "step" if program.states else "run"
    inputs = outputs = ""
    arrays = "".join(f"static {edge.type} {edge.argument}[{edge.view.size}];\n" for edge in edges)
    for edge in program.inputs:
        plain = "1" if edge.label == LENGTH else "0"
        zero = plain if edge.format is None else f"{name}_quantize_{edge.argument}(0.0f)"
        inputs += f"  for (int i = 0; i < {edge.view.size}; ++i) {edge.argument}[i] = {zero};\n"
    for edge in program.outputs:
        value = f"{edge.argument}[i]"
        shown = value if edge.format is None else f"{name}_dequantize_{edge.argument}({value}), 4"
        outputs += f"  for (int i = 0; i < {edge.view.size}; ++i) {{\n"
        if edge.label in program.card.classes:
            width = len(program.card.classes[edge.label])
            names = f"{name}_{edge.argument}_names".upper()
            arrays += f"static const char *const {edge.argument}_names[] = {names};\n"
            outputs += f"    Serial.print({edge.argument}_names[i % {width}]);\n    Serial.print('=');\n"
        outputs += f"    Serial.print({shown});\n"
        outputs += "    Serial.print(' ');\n  }\n"
    return {
        "arrays": arrays,
        "reset": f"  {name}_reset(&state);\n" if program.states else "",
        "inputs": inputs,
        "call": f"{name}_{verb}(&state, {', '.join(edge.argument for edge in edges)})",
        "outputs": outputs,
    }
