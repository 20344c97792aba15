import pytest
from hypothesis import given
from hypothesis import strategies as st

from softanswer.text.folding import fold, strip_marks

ARABIC = {"أ": "ا", "ى": "ي", "ة": "ه"}


@pytest.mark.parametrize(
    "text, folded",
    [
        pytest.param("It’s “Fine” — OK", 'it\'s "fine" - ok', id="quotes and dashes are straightened and case lowered"),
        pytest.param("٢٠٪ ١٢", "20٪ 12", id="digits of any script become ASCII"),
        pytest.param("Café Ｆｕｌｌ", "cafe full", id="Latin accents and full-width forms go"),
        pytest.param("أخى مدرسة؟", "اخي مدرسه?", id="the language's foldings apply"),
        pytest.param(
            "İ\ud800", "i\ufffd", id="a letter whose lower case is longer, and half a surrogate pair, stay one"
        ),
    ],
)
def test_fold(text, folded):
    assert fold(text, ARABIC) == folded


@given(st.text(st.characters(exclude_categories=[])))
def test_folding_keeps_the_length(text):
    assert len(fold(text, ARABIC)) == len(text)


@pytest.mark.parametrize(
    "text, stripped, positions",
    [
        pytest.param("plain", "plain", None, id="nothing to strip"),
        pytest.param("שָׁלוֹם", "שלום", (0, 3, 4, 6), id="niqqud"),
        pytest.param("شُكـرًا", "شكرا", (0, 2, 4, 6), id="tashkeel and tatweel"),
        pytest.param("a\u202eb\u200d", "ab", (0, 2), id="bidi controls and joiners"),
    ],
)
def test_strip_marks(text, stripped, positions):
    assert strip_marks(text) == (stripped, positions)
