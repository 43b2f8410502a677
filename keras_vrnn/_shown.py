"""How results show themselves: as text in `print` and at a prompt, in a notebook with their picture."""

import base64
import html
import io

from keras_vrnn._version import __version__

_STYLE = (
    "body{font-family:system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;line-height:1.5}"
    "pre{overflow-x:auto;background:#f4f4f4;padding:.8rem;font-size:.85rem}img{max-width:100%;height:auto}"
    ".table{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}"
    "th,td{border:1px solid #ddd;padding:.2rem .5rem;text-align:left;white-space:nowrap}"
)


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


def page(title: str, body: str) -> str:
    """Returns a page of HTML that needs no other file; `body` is HTML already."""
    title = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n{body}\n"
        f"<p>keras-vrnn {__version__}</p>\n</html>\n"
    )
