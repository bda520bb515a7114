"""Near copies are found exactly: against all pairs compared one by one, on random texts."""

import random

import pytest

from practicum.checks.scores.near_duplicates import WIDTH, near_duplicates, normalized


def shingles(text: str) -> set[str]:
    plain = normalized(text)
    plain = plain.ljust(WIDTH, "\0")
    return {plain[at : at + WIDTH] for at in range(len(plain) - WIDTH + 1)}


def words_with_digits(text: str) -> list[str]:
    return sorted(word for word in normalized(text).split() if any(map(str.isdigit, word)))


def one_by_one(texts, groups, threshold):
    found = set()
    for first in range(len(texts)):
        for second in range(first + 1, len(texts)):
            one, other = shingles(texts[first]), shingles(texts[second])
            alike = len(one & other) / len(one | other) >= threshold - 1e-12
            asked = words_with_digits(texts[first]) == words_with_digits(texts[second])
            if groups[first] != groups[second] and alike and asked:
                found.add((first, second))
    return found


def spoilt(rng: random.Random, text: str) -> str:
    words = text.split()
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(words))
        match rng.randrange(4):
            case 0:
                words[at] = words[at].upper()
            case 1:
                words.insert(at, rng.choice(["please", "now"]))
            case 2:
                del words[at : at + 1]
                words = words or ["x"]
            case _:
                words[at] += "s"
    return " ".join(words)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_the_pairs_are_those_of_comparing_all(seed, threshold):
    rng = random.Random(seed)
    words = ["where", "is", "the", "order", "box", "red", "lamp", "12", "7", "A4", "née", "straße", "when", "sent"]
    texts = [" ".join(rng.choices(words, k=rng.randrange(1, 14))) for _ in range(24)]
    texts += [spoilt(rng, rng.choice(texts)) for _ in range(30)]
    groups = [rng.randrange(3) for _ in texts]
    found = {(pair.first, pair.second) for pair in near_duplicates(texts, groups, threshold=threshold)}
    assert found == one_by_one(texts, groups, threshold)


def test_case_punctuation_and_spacing_do_not_count_and_numbers_do():
    texts = ["Where is order 17?", "where  IS order 17", "Where is order 18?", "Where is order 17 now?"]
    pairs = near_duplicates(texts, range(4), threshold=0.7)
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (0, 3), (1, 3)]
    assert pairs[0].similarity == 1.0


def test_signs_make_another_question():
    assert normalized("What is 2 + 3?") == normalized("what is 2 + 3")
    assert normalized("What is 2+3?") != normalized("What is 2-3?")
    assert near_duplicates(["What is 2+3 in all?", "What is 2-3 in all?"], [0, 1], threshold=0.5) == []


def test_there_may_be_nothing_to_compare():
    assert near_duplicates([], []) == []
    assert near_duplicates(["a"], [0]) == []
    assert [pair.similarity for pair in near_duplicates(["", ""], [0, 1])] == [1.0]


def test_half_a_surrogate_pair_is_text_too():
    assert len(near_duplicates(["box \ud800 red", "box \ud800 red"], [0, 1])) == 1


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        near_duplicates(["a"], [0], threshold=threshold)


def test_a_text_without_a_group_is_refused():
    with pytest.raises(ValueError, match="group"):
        near_duplicates(["a", "b"], [0])


def test_many_texts_with_the_same_template_are_compared_with_their_neighbours_only():
    texts = [f"please handle the ticket of customer {name * 3} today, and tell nobody" for name in "abcdefghij" * 20]
    pairs = near_duplicates(texts, range(len(texts)), threshold=0.8)
    assert 200 <= len(pairs) <= 200 * 199 / 2
