"""The tokeniser: what words are in which language, what its numbers mean, and that a saved model has the very same one."""

from __future__ import annotations

import json
import runpy
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainers import export, text_preprocessing, token_ids
from trainers.text_preprocessing import Options

KINDS = ("word", "char", "byte")
TEXTS = ("Ünï cafés, cafés! 你好吗?", "the cat sat", "THE CAT; सही बात है", "👩‍👩‍👧 family", "", "你好 the")


def rules(
    kind: str = "word",
    ngrams: int = 1,
    *,
    max_length: int = 50,
    min_count: int = 1,
    size: int = 1000,
    texts: object = TEXTS,
) -> dict[str, object]:
    return text_preprocessing.fit(np.array(texts, dtype=object), Options(kind, ngrams, max_length, min_count, size))


def cut(kind: str, text: str, ngrams: int = 1) -> list[str]:
    return [token for _, token in token_ids.tokens(rules(kind, ngrams), text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT's hat.", ["the", "cat", "'", "s", "hat", "."]),
        ("很好吃, 2nd time", ["很", "好", "吃", ",", "2nd", "time"]),
        ("カタカナひらがな", list("カタカナひらがな")),
        ("한국어 문장", ["한국어", "문장"]),
        ("सही बात है", ["सही", "बात", "है"]),  # vowel signs stay with their words
        ("Straße ﬁne \uff11\uff12", ["strasse", "fine", "12"]),
        ("e\u0301te\u0301", ["été"]),
        ("a\n\t b\u00a0c", ["a", "b", "c"]),
        ("🙂🙂", ["🙂", "🙂"]),
        ("x" * 250, ["x" * 100, "x" * 100, "x" * 50]),
        ("  ", []),
    ],
)
def test_words_of_many_languages(text: str, words: list[str]) -> None:
    assert cut("word", text) == words


def test_characters_and_bytes_and_neighbours() -> None:
    assert cut("char", "好 Ab", 2) == ["好", "好 ", " ", " a", "a", "ab", "b"]
    assert cut("byte", "é") == ["\u00c3", "\u00a9"]
    assert cut("word", "A b c", 3) == ["a", "a b", "a b c", "b", "b c", "c"]


def test_a_composed_and_a_decomposed_letter_are_the_same_numbers() -> None:
    made = token_ids.ids(rules("char"), ["caf\u00e9", "cafe\u0301"])

    assert np.array_equal(made[0], made[1])


def test_the_vocabulary_has_the_most_frequent_tokens_of_enough_texts_and_no_others() -> None:
    texts = ("b a a a", "b c", "c b d")

    assert rules(texts=texts, min_count=2)["vocabulary"] == ["b", "c"]
    assert rules(texts=texts, size=3)["vocabulary"] == ["b", "c", "a"]


def test_numbers_begin_at_two_an_unknown_word_is_one_and_an_unknown_pair_is_left_out() -> None:
    fitted = rules(ngrams=2, texts=("a b", "b a"), max_length=4)

    assert fitted["vocabulary"] == ["a", "b", "a b", "b a"]
    made = token_ids.ids(fitted, ["a b", "a z b", "", "a b b b b b b"])
    assert made.tolist() == [[2, 4, 3], [2, 1, 3], [1, 0, 0], [2, 4, 3]]  # the last is cut to the longest in training
    assert made.dtype == np.int32


def test_no_more_of_a_text_is_read_than_the_bounds_say() -> None:
    fitted = rules("char", max_length=3, texts=("abcabc",))

    assert fitted["length"] == 3
    assert token_ids.ids(fitted, ["abcz", "abczz"]).tolist() == [[2, 3, 4], [2, 3, 4]]
    assert len(token_ids.normalised("a" * 10**6)) == token_ids.READ_CHARACTERS


def test_rows_of_combining_marks_take_no_longer_than_other_texts() -> None:
    half = token_ids.READ_CHARACTERS // 2
    began = time.process_time()

    written = token_ids.normalised("\u0301" * half + "\u0316" * half)

    assert time.process_time() - began < 1  # as a whole, ten seconds and more
    assert len(written) == token_ids.READ_CHARACTERS


CARRIED = runpy.run_path(str(export.TOKENISER))["ids"]
FITTED = [json.loads(json.dumps(rules(kind, ngrams))) for kind in KINDS for ngrams in (1, 3)]


@settings(max_examples=200, deadline=None)
@example([""])
@example(["\ud800"])  # half a character
@example(["e\u0301\u0301\u0301", "\u200d", "👩‍👩‍👧‍👦🏳️‍🌈"])
@given(st.lists(st.text() | st.text(st.characters(codec="utf-8")) | st.sampled_from(TEXTS), min_size=1, max_size=4))
def test_a_saved_models_tokeniser_gives_the_same_numbers_for_any_text(texts: list[str]) -> None:
    for fitted in FITTED:
        made = token_ids.ids(fitted, texts)
        assert np.array_equal(CARRIED(fitted, texts), made)
        assert made.shape == (len(texts), fitted["length"])
        assert (made[:, 0] > 0).all()  # no row is padding alone
        assert ((made == 0) == (np.cumsum(made == 0, axis=1) > 0)).all()  # padding is at the end
        assert made.max() < len(fitted["vocabulary"]) + token_ids.FIRST
