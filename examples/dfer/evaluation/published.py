"""What is published: scores on DFEW, FERV39k and DAiSEE, and costs. All of it is quoted, nothing is measured here."""

from dataclasses import dataclass

AGDTNET = "Liu et al., 2026 (AGDTNet), its own table"
FORMER_DFER = "Zhao and Liu, 2021 (Former-DFER), as quoted by Sun et al., 2024 (SVFAP), Table 8"
FERV39K = "Wang et al., 2022 (FERV39k), as quoted by Sun et al., 2024 (SVFAP), Table 9"
QUOTED = "as later papers quote it; the first source was not seen"
SUN_8, SUN_9 = ("as quoted by Sun et al., 2024 (SVFAP), Table 8", "as quoted by Sun et al., 2024 (SVFAP), Table 9")


@dataclass(frozen=True)
class PublishedScore:
    """In per cent. ``recall`` is in the order of the data set's classes.

    ``model`` is the name by which `build_model` builds the system, None where it does not.
    """

    system: str
    uar: float | None
    war: float
    source: str
    model: str | None = None
    recall: tuple[float, ...] | None = None
    note: str = ""


# By the data set's flag. DFEW's are means over its five folds.
SCORES: dict[str, tuple[PublishedScore, ...]] = {
    "dfew": (
        PublishedScore("VGG13 + LSTM", 42.39, 53.70, QUOTED, "vgg13-lstm",
                       (76.89, 37.65, 58.04, 60.70, 43.70, 0.00, 19.73)),
        PublishedScore("C3D", 42.74, 53.54, QUOTED, "c3d", (75.17, 39.49, 55.11, 62.49, 45.00, 1.38, 20.51)),
        PublishedScore("I3D-RGB", 43.40, 54.27, QUOTED, "i3d", (78.61, 44.19, 56.69, 55.87, 45.88, 2.07, 20.51)),
        PublishedScore("EC-STFL", 45.35, 56.51, SUN_8, None, (79.18, 49.05, 57.85, 60.98, 46.15, 2.76, 21.51)),
        PublishedScore("3D ResNet18", 46.52, 58.27, SUN_8, None, (76.32, 50.21, 64.18, 62.85, 47.52, 0.00, 24.56)),
        PublishedScore("ResNet18 + LSTM", 51.32, 63.85, FORMER_DFER, "resnet18-lstm",
                       (83.56, 61.56, 68.27, 65.29, 51.26, 0.00, 29.34),
                       "the source does not define the model; the model of that name here is what the name says"),
        PublishedScore("Former-DFER", 53.69, 65.70, FORMER_DFER, "former-dfer",
                       (84.05, 62.57, 67.52, 70.03, 56.43, 3.45, 31.78)),
        PublishedScore("NR-DFERNet", 54.21, 68.19, SUN_8, None, (88.47, 64.84, 70.03, 75.09, 61.60, 0.00, 19.43)),
        PublishedScore("GCA + IAL", 55.71, 69.24, SUN_8, None, (87.95, 67.21, 70.10, 76.06, 62.22, 0.00, 26.44)),
        PublishedScore("ResNet18 + TFormer", 53.56, 67.42, AGDTNET, "tformer"),
        PublishedScore("ResNet18 + DTFormer", 54.22, 68.13, AGDTNET, "dtformer"),
        PublishedScore("ResNet18 + CBAM + DTFormer", 55.14, 68.65, AGDTNET, "cbam+dtformer"),
        PublishedScore("ResNet18 + SE + DTFormer", 55.35, 68.79, AGDTNET, "se+dtformer"),
        PublishedScore("ResNet18 + AGA + TFormer", 54.98, 68.51, AGDTNET, "aga+tformer"),
        PublishedScore("ResNet18 + AGA w/o gate + DTFormer", 54.67, 68.44, AGDTNET, "aga-without-gate+dtformer"),
        PublishedScore("AGDTNet", 55.63, 69.30, AGDTNET, "agdtnet",
                       (88.96, 68.07, 67.79, 76.27, 65.99, 0.00, 22.35)),
    ),
    "ferv39k": (
        PublishedScore("C3D", 22.68, 31.69, SUN_9, "c3d", (48.20, 35.53, 52.71, 13.72, 3.45, 4.93, 0.23)),
        PublishedScore("I3D-RGB", 30.17, 38.78, QUOTED, "i3d"),
        PublishedScore("ResNet18 + LSTM", 30.92, 42.59, FERV39K, "resnet18-lstm",
                       (61.91, 31.95, 61.70, 45.93, 14.26, 0.00, 0.70),
                       "other lists print 42.95, two digits of 42.59 exchanged"),
        PublishedScore("VGG13 + LSTM", 32.42, 43.37, FERV39K, "vgg13-lstm",
                       (66.26, 51.26, 53.22, 37.93, 13.64, 0.43, 4.18), "the authors' page rounds the UAR to 32.41"),
        PublishedScore("NR-DFERNet", 33.99, 45.97, SUN_9, None, (69.18, 54.77, 51.12, 49.70, 13.17, 0.00, 0.23),
                       "its printed recalls average to 34.02"),
        PublishedScore("GCA + IAL", 35.82, 48.54, SUN_9),
        PublishedScore("Former-DFER", 37.20, 46.85, SUN_9, "former-dfer",
                       (65.65, 51.33, 56.74, 43.64, 21.94, 8.57, 12.53)),
        PublishedScore("AGDTNet", 35.25, 47.08, AGDTNET, "agdtnet"),
    ),
    "daisee": (PublishedScore("AGDTNet", None, 62.56, AGDTNET, "agdtnet", note="accuracy on four classes"),),
}  # fmt: skip


@dataclass(frozen=True)
class PublishedCost:
    """Millions of parameters and giga multiply-adds per clip; None where none was found.

    ``note`` says what is unclear about a figure.
    """

    parameters: float | None = None
    multiply_adds: float | None = None
    note: str = ""


# By the name in `build_model`.
COSTS = {
    "c3d": PublishedCost(78.03, 38.55),
    "i3d": PublishedCost(12.29, 6.99, "count printed for 112 x 112 with another pooling"),
    "vgg11-lstm": PublishedCost(None, 29.9, "count of the convolutions alone"),
    "vgg13-lstm": PublishedCost(133.4, 44.7, "count of the convolutions alone"),
    "vgg16-lstm": PublishedCost(138.7),
    "resnet18-lstm-dfew": PublishedCost(17.39, 9.12),
    "former-dfer": PublishedCost(18.03, 8.30),
    "agdtnet": PublishedCost(19.10, 5.98, "its ResNet18 alone counts 7.76 G at 16 frames"),
}


def published_war_on_dfew(model: str) -> float | None:
    return next((row.war for row in SCORES["dfew"] if row.model == model), None)
