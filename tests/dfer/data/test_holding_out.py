from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dfer.data.parts import split_by_label


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 5))
def test_a_tenth_of_every_label_is_held_out(labels: list[int], seed: int) -> None:
    kept, held = split_by_label(labels, seed)
    assert sorted(kept + held) == list(range(len(labels)))
    for label, clips in Counter(labels).items():
        expected = 0 if clips == 1 else max(1, clips // 10)
        assert sum(labels[i] == label for i in held) == expected
    assert split_by_label(labels, seed) == (kept, held)


def people(count: int, clips: int) -> tuple[list[int], list[str]]:
    """Each person shows the labels in another mixture."""
    pairs = [((person + clip) * clip % 4, f"{person:06}") for person in range(count) for clip in range(clips)]
    return [label for label, _ in pairs], [person for _, person in pairs]


def test_people_are_held_out_whole_and_labels_in_proportion() -> None:
    labels, subjects = people(112, 40)
    kept, held = split_by_label(labels, 0, subjects)
    assert sorted(kept + held) == list(range(len(labels)))
    assert not {subjects[i] for i in kept} & {subjects[i] for i in held}
    for label, clips in Counter(labels).items():
        assert 0.08 < sum(labels[i] == label for i in held) / clips < 0.12
    assert split_by_label(labels, 0, subjects) == (kept, held)
    assert split_by_label(labels, 1, subjects)[1] != held


def test_only_person_with_a_label_stays_in_training() -> None:
    labels, subjects = people(20, 12)
    labels.append(9)
    subjects.append("alone")
    for seed in range(10):
        kept, held = split_by_label(labels, seed, subjects)
        assert held
        assert {labels[i] for i in kept} == {0, 1, 2, 3, 9} & set(labels)


def test_single_person_cannot_be_held_out() -> None:
    assert split_by_label([0, 1, 0, 1], 0, ["a"] * 4) == ([0, 1, 2, 3], [])


def test_without_all_subjects_clips_are_held_out_by_label() -> None:
    labels = [0, 1] * 20
    assert split_by_label(labels, 0, [None] * 40) == split_by_label(labels, 0)
