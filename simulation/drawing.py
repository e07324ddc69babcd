"""A few shapes as SVG: enough for bars and heat maps that any browser shows, without a library."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

FONT = "system-ui, Helvetica, Arial, sans-serif"
INK, FAINT = "#1f2933", "#9aa5b1"


@dataclass
class Drawing:
    """A picture of so many pixels; shapes are drawn in the order in which they are asked for."""

    width: float
    height: float
    _shapes: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, fill: str, says: str = "") -> None:
        """A filled rectangle; `says` is shown where the pointer rests on it."""
        inside = f"<title>{escape(says)}</title>" if says else ""
        self._shapes.append(_tag("rect", inside, x=x, y=y, width=max(width, 0.0), height=height, fill=fill))

    def text(
        self, x: float, y: float, words: str, *, size: int = 12, ink: str = INK, anchor: str = "start", bold: bool = False
    ) -> None:
        """Words; `y` is the line that they stand on."""
        weight = "600" if bold else "400"
        looks = {"font-size": str(size), "font-weight": weight, "text-anchor": anchor}
        self._shapes.append(_tag("text", escape(words), x=x, y=y, fill=ink, **looks))

    def svg(self) -> str:
        size = {"width": self.width, "height": self.height}
        head = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {self.width:.0f} {self.height:.0f}", "font-family": FONT}
        paper = _tag("rect", "", **size, fill="white")
        return _tag("svg", "\n".join(("", paper, *self._shapes, "")), **head, **size) + "\n"


def _tag(name: str, inside: str, **attributes: str | float) -> str:
    said = " ".join(f"{key}={quoteattr(f'{v:.1f}' if isinstance(v, float) else str(v))}" for key, v in attributes.items())
    return f"<{name} {said}>{inside}</{name}>"
