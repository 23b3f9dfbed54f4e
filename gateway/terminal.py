"""Tables, boards and coloured lines in a terminal, which nothing in them can steer.

Texts of others (names, details, values of files) are shown with their control characters as escapes, and are never
read as markup. Knows nothing of what is shown. Plain lines: `gateway/output.py`.
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gateway.characters import printable, printable_lines


class Terminal(Console):
    """A rich Console for texts that others wrote. Invariants:

    * No text is read as markup or as the name of an emoji.
    * Of control characters only those reach the terminal that rich itself sends, to move its cursor and to colour.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def say(self, text: str, style: str = "") -> None:
        """Print one line, whatever line feeds are in the text."""
        self.print(Text(printable(text), style), soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a Text of a text, before its width is measured."""
        return super().render_str(
            printable_lines(text), **options | {"markup": False, "emoji": False, "highlight": False}
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything; what was not escaped until here is escaped now."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable_lines(segment.text)
            yield segment if text is segment.text else Segment(text, segment.style)
