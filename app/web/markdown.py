"""A model's Markdown → HTML that cannot do anything: no markup of its own, no script, nothing fetched.

Safe by construction: raw HTML is shown as text, a picture becomes a link, links lead only to web and mail addresses,
mathematics goes through a list of allowed MathML elements.
"""

from __future__ import annotations

import functools
import re
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from xml.etree import ElementTree

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.texmath import texmath_plugin

MOST_CHARS = 200_000
MOST_FORMULA_CHARS = 2000
_LINK = re.compile(r"(https?://|mailto:)[^\s]", re.IGNORECASE)
_TIME = re.compile(
    r"(?<![\d:.])(?:(?P<clock>(?:\d{1,2}:)?\d{1,2}:\d{2}(?:\.\d{1,3})?)(?![\d:])"
    r"|(?P<sec>\d{1,5}(?:\.\d{1,3})?)(?=[\s\u00a0]?(?:s|sec|secs|second|seconds|秒)(?![a-zA-Z])))"
)
_MATHML = frozenset(
    "math mrow mi mn mo mtext mspace ms mfrac msqrt mroot mstyle mpadded mphantom mfenced menclose "
    "msub msup msubsup munder mover munderover mmultiscripts mtable mtr mtd mprescripts none merror".split()
)
_MATHML_ATTRIBUTES = frozenset(
    "display mathvariant stretchy fence separator form lspace rspace largeop movablelimits accent accentunder "
    "symmetric linethickness columnalign rowalign columnlines rowlines columnspacing rowspacing width height depth "
    "displaystyle scriptlevel minsize maxsize notation open close separators".split()
)


@dataclass(frozen=True)
class Clip:
    """A video that times in the text refer to. number: names it on the page; later times than its end are no links."""

    number: str
    duration_sec: float


def render(text: str, clip: Clip | None = None) -> str:
    """HTML of a reply. clip: the video it is about, whose times become buttons that seek the player."""
    cut = text[:MOST_CHARS]
    html = _parser().render(cut, {"clip": clip})
    return html + f"<pre>{escape(text[MOST_CHARS:])}</pre>" if len(text) > MOST_CHARS else html


def style_sheet() -> str:
    """The colours of highlighted code, light and dark."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".dark .code")
    keep = [line for line in (*light.splitlines(), *dark.splitlines()) if ".code ." in line]
    return "\n".join(line for line in keep if "background" not in line) + "\n"


class _Renderer(RendererHTML):
    """The pieces that differ from plain CommonMark."""

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        token = tokens[idx]
        address = str(token.attrs.get("src", ""))
        shown = escape(token.content or "picture")
        return _anchor(address) + shown + "</a>" if _LINK.match(address) else shown

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        return _anchor(str(tokens[idx].attrs.get("href", "")))

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        token = tokens[idx]
        language = token.info.split()[0] if token.info.strip() else ""
        label = f'<span class="language">{escape(language)}</span>' if language else ""
        return (
            f'<figure class="code"><figcaption>{label}<button type="button" class="copy-code"></button></figcaption>'
            f'<pre tabindex="0"><code>{_highlighted(token.content, language)}</code></pre></figure>\n'
        )

    code_block = fence

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        return '<div class="table" tabindex="0"><table>'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        return "</table></div>"

    def heading_open(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        return f"<h{_level(tokens[idx])}>"

    def heading_close(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        return f"</h{_level(tokens[idx])}>\n"

    def text(self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        clip = env.get("clip")
        return _with_times(tokens[idx].content, clip) if clip else escape(tokens[idx].content)


def _level(token: Token) -> int:
    """Headings inside a message stand below the page's own."""
    return min(6, int(token.tag[1]) + 2)


def _anchor(address: str) -> str:
    if not _LINK.match(address):
        return "<a>"
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer nofollow">'


def _highlighted(code: str, language: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False) if language else None
    except ClassNotFound:
        lexer = None
    if lexer is None or len(code) > 50_000:
        return escape(code)
    return highlight(code, lexer, HtmlFormatter(nowrap=True))


def _with_times(text: str, clip: Clip) -> str:
    pieces, end = [], 0
    for found in _TIME.finditer(text):
        seconds = _seconds(found)
        if seconds > clip.duration_sec:
            continue
        pieces.append(escape(text[end : found.start()]))
        pieces.append(
            f'<button type="button" class="seek" data-sec="{seconds:g}" data-clip="{escape(clip.number)}">'
            f"{escape(found.group())}</button>"
        )
        end = found.end()
    return "".join(pieces) + escape(text[end:])


def _seconds(found: re.Match[str]) -> float:
    if found["sec"]:
        return float(found["sec"])
    seconds = 0.0
    for part in found["clock"].split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def formula(source: str, *, block: bool) -> str:
    """LaTeX → MathML; what cannot be read is shown as it was written."""
    from latex2mathml.converter import convert

    shown = f'<code class="formula">{escape(source)}</code>'
    if len(source) > MOST_FORMULA_CHARS:
        return shown
    try:
        tree = ElementTree.fromstring(convert(source, display="block" if block else "inline"))
        _check(tree)
    except Exception:  # a formula is a model's text: whatever the converter trips over, the page shows it
        return shown
    ElementTree.register_namespace("", "http://www.w3.org/1998/Math/MathML")
    return ElementTree.tostring(tree, encoding="unicode")


def _check(element: ElementTree.Element) -> None:
    """Raises ValueError for an element that may not be there; drops attributes that may not."""
    if element.tag.rpartition("}")[2] not in _MATHML:
        raise ValueError(element.tag)
    for name in [name for name in element.attrib if name not in _MATHML_ATTRIBUTES]:
        del element.attrib[name]
    for child in element:
        _check(child)


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}, renderer_cls=_Renderer)
    parser.enable(["table", "strikethrough"])
    parser.disable(["html_block", "html_inline"])
    dollarmath_plugin(parser, allow_space=False, allow_digits=False, double_inline=True)
    texmath_plugin(parser, delimiters="brackets")
    rules: dict[str, bool] = {
        "math_inline": False,
        "math_inline_double": True,
        "math_block": True,
        "math_block_label": True,
        "math_block_eqno": True,
        "math_single": False,
    }
    for rule, block in rules.items():
        parser.add_render_rule(rule, _formula_rule(block))
    return parser


def _formula_rule(block: bool) -> Any:
    def rule(self: Any, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]) -> str:
        return formula(tokens[idx].content.strip(), block=block)

    return rule
