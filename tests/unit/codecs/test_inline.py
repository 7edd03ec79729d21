"""Base64 taken out of what is kept of a reply, also where it is short."""

from __future__ import annotations

import pytest

from batchgen.codecs.inline import without_base64

SHORT = "iVBORw0KGgo" + "A" * 80


@pytest.mark.parametrize(
    ("text", "without"),
    [
        (f"![a](data:image/png;base64,{SHORT})", f"![a](data:<base64, {len(SHORT)} characters>)"),
        (f"![a](DATA:image/png;base64,{SHORT})", f"![a](data:<base64, {len(SHORT)} characters>)"),
        (f'{{"b64_json": "{SHORT}"}}', '{"b64_json": "[base64]"}'),
        ("A" * 1024, "<base64, 1024 characters>"),
        ("A" * 1023, "A" * 1023),
        ("https://cdn.example.com/a.png?sig=abc", "https://cdn.example.com/a.png?sig=abc"),
    ],
)
def test_a_picture_in_a_text_is_told_by_its_length(text: str, without: str) -> None:
    assert without_base64(text) == without
