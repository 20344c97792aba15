import pytest

from softanswer.cues.files import ROOT, load_languages
from softanswer.domain import DataFault, Hint, Span
from softanswer.hints import Book, check_hint_names, load_book, put_first


@pytest.fixture(scope="module")
def languages():
    return load_languages()


@pytest.fixture(scope="module")
def book(languages) -> Book:
    return load_book(ROOT, languages)


def test_every_hint_is_worded_in_every_language(book, languages):
    for tag in languages:
        assert list(book.wordings[tag]) == list(book.sorts)


def test_only_a_safe_omission_has_words_to_insert(book):
    for words in book.wordings.values():
        assert {name for name, w in words.items() if w.insert} == {"no_apology", "no_next_step"}


def test_every_category_that_should_be_hinted_is(book, languages):
    """Defensive and spam categories all have a hint, but for the marks of lawful practice."""
    for language in languages.values():
        for cue in language.cues:
            if cue.score in ("defensiveness", "spam") and cue.category != "spam.lawful":
                assert cue.hint in book.sorts, cue.id


def test_the_names_of_omitted_categories_exist(book, languages):
    categories = {cue.category for language in languages.values() for cue in language.cues}
    for sort in book.sorts.values():
        assert set(sort.omission) <= categories


def test_an_unknown_hint_is_a_fault(book, languages):
    from dataclasses import replace

    cue = replace(languages["en"].cues[0], hint="nothing")
    with pytest.raises(DataFault, match="unknown hint 'nothing'"):
        check_hint_names(book, [replace(languages["en"], cues=(cue,))])


def test_other_hints_give_way_to_the_first():
    def hint(start, end):
        return Hint("c", "check", "low", Span(start, end), "m")

    assert put_first(hint(0, 9), [hint(3, 5), hint(9, 12), hint(9, 9)]) == (hint(0, 9), hint(9, 12), hint(9, 9))
