import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softanswer.domain import Span
from softanswer.text import read_text

HTML = "html"
MARKDOWN = "markdown"


@pytest.mark.parametrize(
    "source, format, visible",
    [
        pytest.param("a <b> & c", "plain", "a <b> & c", id="plain text is left alone"),
        pytest.param("<p>We're <b>so</b> sorry</p>", HTML, "We're so sorry", id="inline tags vanish"),
        pytest.param("<p>One</p><p>Two</p>", HTML, "One\nTwo", id="blocks end the line"),
        pytest.param("a<br/>b", HTML, "a\nb", id="br ends the line"),
        pytest.param("R&amp;D &lt;3 &#x5E9;&nbsp;x", HTML, "R&D <3 ש x", id="entities are decoded"),
        pytest.param("<script>x</script><!-- no -->yes<style>p</style>", HTML, "yes", id="hidden parts are hidden"),
        pytest.param('<a title="a>b" href=x>link</a>', HTML, "link", id="a > in an attribute ends no tag"),
        pytest.param("5 < 6 and <3", HTML, "5 < 6 and <3", id="a < that opens nothing is text"),
        pytest.param(
            "<textarea>a</textarea> <noscript>b</noscript>", HTML, "a b", id="what a browser may show is shown"
        ),
        pytest.param("<!-- never closed", HTML, "", id="an unclosed comment hides the rest"),
        pytest.param("# Hi **there**", MARKDOWN, "Hi there", id="headings and emphasis"),
        pytest.param("[our *shop*](http://x.y 'cc') cc", MARKDOWN, "our shop cc", id="links show their text"),
        pytest.param("![a cup](cup.png) hot", MARKDOWN, "a cup hot", id="images show their alt text"),
        pytest.param(r"2 \* 3 &amp; `a*b`", MARKDOWN, "2 * 3 & a*b", id="escapes, entities and code"),
        pytest.param("- one\n- two\n\n> three", MARKDOWN, "one\ntwo\nthree", id="lists and quotes"),
        pytest.param("```\nx = 1\n```\n<div>raw <i>y</i></div>", MARKDOWN, "x = 1\nraw y", id="code and raw HTML"),
        pytest.param("Hi<br>you. <b>Sorry</b>.", MARKDOWN, "Hi\nyou. Sorry.", id="br ends the line in Markdown too"),
        pytest.param("שלום **לך** 😀", MARKDOWN, "שלום לך 😀", id="Hebrew and emoji"),
    ],
)
def test_what_a_reader_sees(source, format, visible):
    assert read_text(source, format).visible == visible


@pytest.mark.parametrize(
    "source, format, phrase, expected",
    [
        ("<p>Sorry <b>if</b> you</p>", HTML, "if", "if"),
        ("<p>Sorry <b>if</b> you</p>", HTML, "Sorry if", "Sorry <b>if"),
        ("R&amp;D team", HTML, "R&D", "R&amp;D"),
        ("**Sorry** if", MARKDOWN, "Sorry", "Sorry"),
        (r"no \*stars\* here", MARKDOWN, "*stars*", r"\*stars\*"),
        ("[click](http://a.b/click) click", MARKDOWN, "click", "click"),
    ],
)
def test_spans_point_into_the_source(source, format, phrase, expected):
    text = read_text(source, format)
    at = text.visible.index(phrase)
    start, end = text.in_source(Span(at, at + len(phrase)))
    assert source[start:end] == expected


pieces = st.sampled_from(
    ["sorry", " ", "\n", "\n\n", "<b>", "</b>", "&amp;", "&", "<", "*", "**", "_", "`", "[", "](x)", "![", "- ", "> ", "# ",
     "שלום", "مرحبا", "😀", "\ud800", "\0", "\\", "&#65;", "<!--", "-->", "<script>", "http://a.b", "1. ", "    "]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=30).map("".join), st.sampled_from([HTML, MARKDOWN]))
def test_every_visible_character_maps_to_its_source(source, format):
    text = read_text(source, format)
    for i, char in enumerate(text.visible):
        start, end = text.in_source(Span(i, i + 1))
        assert 0 <= start <= end <= len(source)
        piece = source[start:end]
        if not char.isspace() and char != "\ufffd":
            assert char in html.unescape(piece) or piece == "\\" + char


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(["plain", HTML, MARKDOWN]))
@settings(deadline=None)
def test_no_text_fails(source, format):
    text = read_text(source, format)
    ends = 0
    for span in text.sentences:
        assert ends <= span.start < span.end <= len(text.visible)
        assert text.slice(span) == text.slice(span).strip()
        ends = span.end
