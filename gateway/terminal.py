"""Tables, live displays and coloured lines for a terminal, whose texts cannot control it.

Texts from outside (names, messages, contents of files) are shown with control characters escaped, and are never
interpreted as markup. Independent of what is shown. For plain lines, see `gateway/output.py`.
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gateway.characters import printable, printable_lines


class Terminal(Console):
    """A rich Console for untrusted texts. Invariants:

    * No text is interpreted as markup or as the name of an emoji.
    * Only the control characters of rich itself, for the cursor and colours, reach the terminal.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    @property
    def encoding(self) -> str:
        """The encoding of the terminal, in which rich's lines and bars are chosen; rich assumes UTF-8."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()

    def say(self, text: str, style: str = "") -> None:
        """Print one line; line feeds in the text are escaped."""
        self.print(Text(printable(text), style), soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a text, before its width is measured."""
        return super().render_str(
            printable_lines(text), **options | {"markup": False, "emoji": False, "highlight": False}
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything, and escape control characters that are left."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable_lines(segment.text)
            yield segment if text is segment.text else Segment(text, segment.style)
