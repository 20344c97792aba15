import pytest
from hypothesis import given
from hypothesis import strategies as st

from softanswer.text import read_text
from softanswer.text.language import detect
from softanswer.text.offsets import convert

ABBREVIATIONS = frozenset({"mr", "e.g", "a.m", 'בע"מ'})


@pytest.mark.parametrize(
    "text, sentences",
    [
        pytest.param("Hi Mr. Ali. It costs 3.50 at 5 a.m. today.", ["Hi Mr. Ali.", "It costs 3.50 at 5 a.m. today."],
                     id="abbreviations and numbers"),
        pytest.param("مرحبا؟ نعم! شكراً…", ["مرحبا؟", "نعم!", "شكراً…"], id="Arabic marks"),
        pytest.param("סליחה!!! 😀 נבדוק. תודה", ["סליחה!!! 😀", "נבדוק.", "תודה"], id="emoji stay with their sentence"),
        pytest.param("One\n- two\n\nthree", ["One", "- two", "three"], id="lines end sentences"),
        pytest.param("See example.com now. Ok", ["See example.com now.", "Ok"], id="a link is not cut"),
        pytest.param('הזמנתי מגל בע"מ. הגיע שבור', ['הזמנתי מגל בע"מ. הגיע שבור'], id="gershayim in an abbreviation"),
        pytest.param("  \n ", [], id="white space has no sentences"),
    ],
)  # fmt: skip
def test_sentences(text, sentences):
    read = read_text(text, "plain", ABBREVIATIONS)
    assert [read.slice(s) for s in read.sentences] == sentences


@pytest.mark.parametrize(
    "text, kind, found",
    [
        ("see https://a.co/x?y=1. and www.b.org", "links", ["https://a.co/x?y=1", "www.b.org"]),
        ("write to me@x.com", "links", []),
        ("hi @dan_k, not a@b", "mentions", ["@dan_k"]),
        ("#خصم #מבצע #sale2 #1 no#tag", "hashtags", ["#خصم", "#מבצע", "#sale2"]),
        ("👍🏽 👨‍👩‍👧 🇮🇱 ❤ © ™ 5", "emoji", ["👍🏽", "👨‍👩‍👧", "🇮🇱", "❤"]),
    ],
)
def test_entities(text, kind, found):
    read = read_text(text, "plain")
    assert [read.slice(s) for s in getattr(read.entities, kind)] == found


@pytest.mark.parametrize(
    "text, tag",
    [
        ("so sorry dan", "en"), ("thx u r gr8 lol", "en"), ("סליחה על האיחור", "he"), ("نعتذر عن التأخير", "ar"),
        ("שלחנו לך iPhone Pro Max", "he"), ("شكراً لتواصلك مع Apple Support", "ar"), ("We love #שבת and #رمضان", "en"),
        ("Bonjour, nous sommes désolés", "fr"), ("gracias por escribirnos", "es"), ("Спасибо за отзыв", "ru"),
        ("از تماس شما متشکریم پیگیری می‌کنیم", "fa"), ("很抱歉", "zh"), ("ありがとうございます", "ja"),
        ("😀😀", "und"), ("123 !!", "und"), ("", "und"), ("https://x.co/a", "en"),
    ],
)  # fmt: skip
def test_language(text, tag):
    read = read_text(text, "plain")
    language = detect(read.visible, read.entities)
    assert language.tag == tag
    assert (language.direction == "rtl") == (tag in ("he", "ar", "fa"))
    assert 0 <= language.confidence <= 1


@given(st.text(st.characters(exclude_categories=["Cs"])), st.data())
def test_offsets_slice_back_in_every_encoding(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    a, b = convert(text, [start, end], "utf-8")
    assert text.encode()[a:b].decode() == text[start:end]
    a, b = convert(text, [start, end], "utf-16")
    assert text.encode("utf-16-le")[2 * a : 2 * b].decode("utf-16-le") == text[start:end]
    assert convert(text, [start, end], "code-point") == [start, end]


def test_a_lone_surrogate_counts_as_editors_count_it():
    assert convert("a\ud800b", [0, 1, 2, 3], "utf-16") == [0, 1, 2, 3]
    assert convert("a\ud800b", [0, 1, 2, 3], "utf-8") == [0, 1, 4, 5]
