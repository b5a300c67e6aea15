"""What must be said beside every estimate: what it is, what it is not, and what the law allows. One text for all."""

from collections.abc import Sequence

from dfer.training.trained_file import TrainedFacts

WHAT_IT_IS = (
    "An estimate of displayed expression as annotators would label it: "
    "not of what a person feels, learns or attends to."
)
LAW = (
    "Research tool. In the EU, inferring emotions of people in education and at work is prohibited (AI Act, "
    "Art. 5(1)(f), since 2 February 2025) except for medical or safety reasons; elsewhere people must be told. "
    "Not legal advice."
)
NOT_MEASURED = (
    "Not measured: how the recalls differ between groups of people, by age, sex, skin colour or culture. "
    "With the paper's own network the weakest classes of DFEW are disgust (recall 0.00 %) and fear (22.35 %)."
)


def weights_in_words(facts: TrainedFacts) -> str:
    """One line: what the weights were trained on, and how well they did on its test set."""
    return f"Weights trained on {facts.trained_on}; on its test set UAR {facts.uar:.1%}, WAR {facts.war:.1%}."


def input_in_words(facts: TrainedFacts) -> str:
    """One line: what the net looks at. Its classes stand in the line of the recalls."""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (facts.mean, facts.std))
    return (
        f"The net looks at {facts.frames} frames of {facts.size} x {facts.size} pixels at a time, "
        f"normalised by mean {mean} and standard deviation {std}."
    )


def recalls_in_words(classes: Sequence[str], recall: Sequence[float | None]) -> str:
    """One line: the recall of each class; a class without a test clip has none.

    >>> recalls_in_words(("happy", "fear"), (0.934, None))
    'Recall by class: happy 93%, fear not measured.'
    """
    parts = (f"{name} {'not measured' if r is None else f'{r:.0%}'}" for name, r in zip(classes, recall, strict=True))
    return f"Recall by class: {', '.join(parts)}."


def notice(facts: TrainedFacts) -> tuple[str, ...]:
    """The lines that every run prints and every file for people holds."""
    recalls = recalls_in_words(facts.classes, facts.recall)
    return (weights_in_words(facts), input_in_words(facts), recalls, WHAT_IT_IS, NOT_MEASURED, LAW)
