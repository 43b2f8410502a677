"""How results show themselves: as text in `print` and at a prompt, in a notebook with their picture."""

import base64
import html
import io


class Shown:
    """Mixin of a result that has `__str__`, and perhaps `plot`, which returns a matplotlib Figure."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>{self._picture()}"

    def _picture(self):
        if not hasattr(self, "plot"):
            return ""
        try:
            return image(self.plot())
        except ImportError:  # matplotlib is an extra, and the text is enough
            return ""


def image(figure) -> str:
    """Returns a matplotlib Figure as an element of HTML that needs no other file."""
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    # An image rather than inline SVG: the ids in two pictures of one page would clash.
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}">'
