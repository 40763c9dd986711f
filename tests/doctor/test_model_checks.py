"""Which objects a model makes suspicious; probabilities are made by hand."""

import numpy as np

from bunri.doctor.model_checks import JudgedObject, find_suspicious

NAMES = ("Background", "Paper", "Metal", "Glass")


def judge(annotation_id, class_index, *probs):
    values = np.array(probs, np.float32)
    return JudgedObject(annotation_id, class_index, values, -float(np.log(values[class_index])))


PAPERS = [judge(i, 1, 0.05, 0.85, 0.05, 0.05) for i in range(9)]
METALS = [judge(10 + i, 2, 0.05, 0.05, 0.85, 0.05) for i in range(9)]


def test_find_suspicious__sound_labels():
    assert find_suspicious([*PAPERS, *METALS], NAMES) == []
    assert find_suspicious([], NAMES) == []


def test_find_suspicious__a_wrong_label():
    wrong = judge(99, 1, 0.05, 0.04, 0.86, 0.05)
    (found,) = find_suspicious([*PAPERS, wrong, *METALS], NAMES)
    assert found == (99, "labelled Paper, looks like Metal (0.86); loss 3.22")


def test_find_suspicious__background_needs_no_objects():
    invented = judge(99, 2, 0.9, 0.03, 0.04, 0.03)
    assert [id_ for id_, _ in find_suspicious([*METALS, invented], NAMES)] == [99]


def test_find_suspicious__a_class_that_the_model_never_sees_is_not_held_against_its_labels():
    glasses = [judge(50 + i, 3, 0.05, 0.85, 0.05, 0.05) for i in range(5)]
    assert find_suspicious([*PAPERS, *glasses], NAMES) == []


def test_find_suspicious__a_rival_must_be_as_sure_as_usual():
    unsure = judge(99, 1, 0.25, 0.25, 0.25, 0.25)
    assert find_suspicious([*PAPERS, unsure, *METALS], NAMES) == []


def test_find_suspicious__the_surest_first():
    wrong = [judge(98, 1, 0.05, 0.05, 0.82, 0.08), judge(99, 1, 0.01, 0.01, 0.97, 0.01)]
    found = find_suspicious([*PAPERS, *wrong, *METALS], NAMES)
    assert [id_ for id_, _ in found] == [99, 98]
