"""The notice beside every estimate: what it is, what it is not, and what the law allows."""

from collections.abc import Sequence

from dfer.training.trained_file import TrainedFacts

WHAT_IT_IS = (
    "An estimate of the displayed expression as annotators would label it, "
    "not of what a person feels, learns or attends to."
)
LAW = (
    "Research tool. In the EU, inferring emotions of people in education and at work is prohibited (AI Act, "
    "Art. 5(1)(f), since 2 February 2025) except for medical or safety reasons; elsewhere, people must be informed. "
    "Not legal advice."
)
NOT_MEASURED = (
    "How recalls differ by age, sex, skin colour or culture was not measured. "
    "In the paper's results for AGDTNet, the weakest classes of DFEW are disgust (recall 0.00 %) and fear (22.35 %)."
)
# First words of `trained_on` in a weights file. Its test clips come from the same data set.
DRAWINGS = "drawings"
VIDEOS_OF_PEOPLE = ("DFEW", "FERV39k", "DAiSEE", "RAVDESS", "CREMA-D")


def trained_on_drawings(facts: TrainedFacts) -> bool:
    return facts.trained_on.startswith(DRAWINGS)


def people_tested_on(facts: TrainedFacts) -> str | None:
    """The data set of videos of people on which the recalls were measured, or None."""
    return facts.trained_on if facts.trained_on.startswith(VIDEOS_OF_PEOPLE) else None


def headline(facts: TrainedFacts) -> str:
    """One line: what the weights were trained on, and their scores."""
    if trained_on_drawings(facts):
        return "These weights were trained on drawings, not on people, and are often wrong on real faces."
    if people_tested_on(facts) is None:
        return f"Weights trained on {facts.trained_on}; their file gives no scores on videos of people."
    return f"Weights trained on {facts.trained_on}; on its test clips UAR {facts.uar:.1%}, WAR {facts.war:.1%}."


def input_in_words(facts: TrainedFacts) -> str:
    """One line: frames, size and normalisation of the input."""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (facts.mean, facts.std))
    return (
        f"The network sees {facts.frames} frames of {facts.size} x {facts.size} pixels at a time, "
        f"normalised with mean {mean} and standard deviation {std}."
    )


def recalls_in_words(facts: TrainedFacts) -> str:
    """One line: the recall of each class if it was measured on people; a class without test clips has none."""
    if people_tested_on(facts) is None:
        return f"No recalls are shown, since none were measured on people. Classes: {', '.join(facts.classes)}."
    return f"Recall by class: {_list_recalls(facts.classes, facts.recall)}."


def _list_recalls(classes: Sequence[str], recall: Sequence[float | None]) -> str:
    pairs = zip(classes, recall, strict=True)
    return ", ".join(f"{name} {'not measured' if r is None else f'{r:.0%}'}" for name, r in pairs)


def notice(facts: TrainedFacts) -> tuple[str, ...]:
    """The six lines that the first run prints; pages and files contain them too."""
    return headline(facts), input_in_words(facts), recalls_in_words(facts), WHAT_IT_IS, NOT_MEASURED, LAW


def short_notice(facts: TrainedFacts) -> str:
    """One line for later runs."""
    return f"{headline(facts)} Displayed expression, not feelings; see the page for the full notice."
