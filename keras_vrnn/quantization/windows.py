"""Windows that convolutions and poolings move over an image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """How a window moves over an image; every field is a pair (height, width).

    Attributes:
        size: how many positions it reads.
        stride: how far it moves.
        dilation: the distance between two positions that it reads.
        same: whether positions outside the image are left out ("SAME"); otherwise there are none ("VALID").
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    same: bool = False

    def results(self, image):
        """Returns the number of results for the height and width of an image."""
        if self.same:
            return tuple(-(-n // s) for n, s in zip(image, self.stride, strict=True))
        reach = ((k - 1) * d + 1 for k, d in zip(self.size, self.dilation, strict=True))
        return tuple(-(-(n - r + 1) // s) for n, r, s in zip(image, reach, self.stride, strict=True))

    def before(self, image):
        """Returns how many positions above and left of an image the first window begins."""
        results = self.results(image)
        parts = zip(image, results, self.size, self.stride, self.dilation, strict=True)
        return tuple(max((r - 1) * s + (k - 1) * d + 1 - n, 0) // 2 for n, r, k, s, d in parts)

    def views(self, x, outside):
        """Yields (row, column, values) for each position of the window.

        Args:
            x: (samples, height, width, channels).
            outside: the value of positions outside the image.

        Yields:
            values: (samples, results, results, channels), what the windows read at that position.
        """
        image = x.shape[1:3]
        results, before = self.results(image), self.before(image)
        parts = zip(results, self.size, self.stride, self.dilation, before, image, strict=True)
        after = [max((r - 1) * s + (k - 1) * d + 1 - b - n, 0) for r, k, s, d, b, n in parts]
        padded = np.pad(x, [(0, 0), *zip(before, after, strict=True), (0, 0)], constant_values=outside)
        for row, column in np.ndindex(*self.size):
            starts = (row * self.dilation[0], column * self.dilation[1])
            slices = [
                slice(b, b + (r - 1) * s + 1, s) for b, r, s in zip(starts, results, self.stride, strict=True)
            ]
            yield row, column, padded[:, slices[0], slices[1]]
