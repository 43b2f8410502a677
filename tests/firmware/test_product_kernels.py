"""The kernels of products read whole blocks; `test_products` compares their results with TFLite Micro."""

import re

from keras_vrnn.firmware import product_kernels


def test_the_forms_with_and_without_dsp_share_their_signature():
    for name in ("sums8", "sums16", "sums4"):
        (signature,) = re.findall(rf"static void {name}\(([^)]*)\)", product_kernels.FUNCTIONS[name][1])
        assert [part.split()[-1].lstrip("*") for part in signature.split(",")] == [
            "x",
            "inputs",
            "w",
            "bias",
            "columns",
            "sums",
        ]


def test_assembly_is_compiled_only_where_the_processor_has_it():
    for name, (needs, source) in product_kernels.FUNCTIONS.items():
        outside = re.sub(r"#if HAS_DSP.*?#(?:else|endif)", "", source, flags=re.S)
        assert "__asm__" not in outside, name
        assert needs
