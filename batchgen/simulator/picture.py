"""One simulated picture as a value: everything that decides how it looks. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass

_LARGEST = 4096
"""pixels; no provider draws larger, and a prompt must not be able to ask for gigabytes"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that decides how one picture looks. Sizes are pixels, `size` as asked for."""

    prompt: str
    model: str
    size: tuple[int, int]
    position: int = 0
    total: int = 1
    format: str = "png"
    quality: int | None = None
    """of lossy formats, 0 to 100"""
    transparent: bool = False
    roots: str = ""
    """the text that colours and shapes follow from; an edit has its parent's"""
    edits: tuple[str, ...] = ()
    """the prompts of the edits between the roots and this one, oldest first: each left its ring"""
    reference: bytes = b""
    """a small copy of the picture that this one edits"""
    mask: bytes = b""
    """a small copy of where it edits, white for 'here'"""
    side: int = 0
    """cap of the longer side of what is drawn; 0: the size asked for"""

    @property
    def drawn_size(self) -> tuple[int, int]:
        """Pixels of the file: the size asked for, shrunk to the cap at the same ratio."""
        longest = max(self.size)
        factor = min(1.0, min(self.side or _LARGEST, _LARGEST) / longest)
        return max(1, round(self.size[0] * factor)), max(1, round(self.size[1] * factor))

    @property
    def media(self) -> str:
        return f"image/{self.format}"
