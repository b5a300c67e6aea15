"""The figures of the paper's Tables 2 to 6. They are copied; none of them was measured with this package."""

from collections.abc import Mapping
from dataclasses import dataclass

from dfer.data import daisee, dfew, ferv39k

AGDTNET = "AGDTNet"


@dataclass(frozen=True)
class PublishedScore:
    """A row, in per cent.

    Attributes:
        system: as the paper names it.
        uar: None where the paper prints none.
        war: the accuracy.
        recall: in the order of the data set's classes; None where the paper prints none.
        model: the name by which `build_model` builds the system, None where it does not.
        note: what a reader has to know about the row.
    """

    system: str
    uar: float | None
    war: float
    recall: tuple[float, ...] | None = None
    model: str | None = None
    note: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """A table of the paper, and the figure with AGDTNet's confusion matrix on the same clips."""

    number: int
    figure: int
    classes: tuple[str, ...]
    rows: tuple[PublishedScore, ...]

    def source(self, row: PublishedScore) -> str:
        """Whose figure it is: the paper's own, or that of another system, which the paper compares with."""
        return f"Table {self.number}, {'its own result' if row.system == AGDTNET else 'another system'}"


# By the data set's flag.
SCORES: Mapping[str, ScoreTable] = {
    "ferv39k": ScoreTable(
        3, 5, ferv39k.NAMES,
        (
            PublishedScore("C3D", 22.68, 31.69, model="c3d"),
            PublishedScore("I3D-RGB", 30.17, 38.78, model="i3d"),
            PublishedScore("VGG13 + LSTM", 32.41, 43.37, model="vgg13-lstm", note="another paper prints UAR 32.42"),
            PublishedScore("ResNet18 + LSTM", 30.92, 42.59, model="resnet18-lstm"),
            PublishedScore("Former-DFER", 37.20, 46.85, model="former-dfer"),
            PublishedScore("NR-DFERNet", 33.99, 45.97),
            PublishedScore("NSNP-DFER", 37.80, 46.40),
            PublishedScore("MSSL", 39.27, 48.01),
            PublishedScore("TG-DFER", 41.50, 51.67),
            PublishedScore(AGDTNET, 35.25, 47.08, model="agdtnet"),
        ),
    ),
    "dfew": ScoreTable(
        4, 6, dfew.NAMES,
        (
            PublishedScore("C3D", 42.74, 53.54, (75.17, 39.49, 55.11, 62.49, 45.00, 1.38, 20.51), "c3d"),
            PublishedScore("I3D-RGB", 43.40, 54.27, (78.61, 44.19, 56.69, 55.87, 45.88, 2.07, 20.51), "i3d"),
            PublishedScore("VGG11 + LSTM", 42.39, 53.70, (76.89, 37.65, 58.04, 60.70, 43.70, 0.00, 19.73),
                           "vgg11-lstm"),
            PublishedScore("ResNet18 + LSTM", 42.86, 53.08, (78.00, 40.65, 53.77, 56.83, 45.00, 4.14, 21.62),
                           "resnet18-lstm-dfew", "another paper prints UAR 51.32 and WAR 63.85 under this name"),
            PublishedScore("Former-DFER", 53.69, 65.70, (84.05, 62.57, 67.52, 70.03, 56.43, 3.45, 31.78),
                           "former-dfer"),
            PublishedScore("NR-DFERNet", 54.21, 68.19, (88.47, 64.84, 70.03, 75.09, 61.60, 0.00, 19.43)),
            PublishedScore("LOGO-former", 54.21, 66.98, (85.39, 66.52, 68.94, 71.33, 54.59, 0.00, 32.71)),
            PublishedScore("Dual-STI", 56.89, 68.29, (87.65, 68.32, 67.55, 71.70, 57.93, 8.97, 36.14)),
            PublishedScore("NSNP-DFER", 56.05, 68.02, (87.93, 65.08, 62.48, 71.89, 62.46, 0.00, 40.56),
                           note="the printed recalls average to 55.77"),
            PublishedScore("MSSL", 59.86, 68.58),
            PublishedScore("ST_RDGCN", 59.18, 69.37, (89.57, 69.92, 62.17, 79.31, 62.24, 20.69, 30.39)),
            PublishedScore("TG-DFER", 60.17, 71.62, (90.92, 74.92, 71.41, 73.36, 59.43, 13.10, 38.03)),
            PublishedScore(AGDTNET, 55.63, 69.30, (88.96, 68.07, 67.79, 76.27, 65.99, 0.00, 22.35), "agdtnet"),
        ),
    ),
    "daisee": ScoreTable(
        5, 7, daisee.NAMES,
        (
            PublishedScore("I3D", None, 51.03, model="i3d"),
            PublishedScore("ResNet + LSTM", None, 58.24, note="printed without a depth"),
            PublishedScore("Former-DFER", None, 59.83, model="former-dfer"),
            PublishedScore("LSTPNet", None, 61.37),
            PublishedScore(AGDTNET, None, 62.56, (65, 56, 63, 76), "agdtnet",
                           "the recalls are those of Figure 7, which prints whole numbers"),
        ),
    ),
}  # fmt: skip

# Table 2, on DFEW, by the name in `build_model`. All rows are the paper's own results.
ABLATION: Mapping[str, PublishedScore] = {
    "tformer": PublishedScore("ResNet18 + TFormer", 53.56, 67.42),
    "dtformer": PublishedScore("ResNet18 + DTFormer", 54.22, 68.13),
    "cbam+dtformer": PublishedScore("ResNet18 + CBAM + DTFormer", 55.14, 68.65),
    "se+dtformer": PublishedScore("ResNet18 + SE + DTFormer", 55.35, 68.79),
    "aga+tformer": PublishedScore("ResNet18 + AGA + TFormer", 54.98, 68.51),
    "aga-without-gate+dtformer": PublishedScore("ResNet18 + AGA w/o gate + DTFormer", 54.67, 68.44),
    "agdtnet": PublishedScore("ResNet18 + AGA + DTFormer", 55.63, 69.30),
}


@dataclass(frozen=True)
class PublishedCost:
    """A row of Table 6; None where the paper prints nothing."""

    system: str
    parameters: float | None
    """In millions."""
    gflops: float
    """As the paper prints them; compared with counts, they are multiply-adds."""
    milliseconds: float | None
    model: str | None = None
    note: str = ""


COSTS = (
    PublishedCost("C3D", 78, 39, None, "c3d"),
    PublishedCost("Former-DFER", 18, 9, 8, "former-dfer"),
    PublishedCost("NR-DFERNet", None, 6, None),
    PublishedCost("MAE-DFER", 85, 50, None),
    PublishedCost(AGDTNET, 19, 6, 11, "agdtnet", "the text prints 19.10 M, 5.98 GFLOPs and 11.71 ms"),
)


def cost_of(model: str) -> PublishedCost | None:
    return next((cost for cost in COSTS if cost.model == model), None)


def is_in_the_paper(model: str) -> bool:
    """Whether a table of the paper has the system that `build_model` builds under this name."""
    scored = any(row.model == model for table in SCORES.values() for row in table.rows)
    return scored or model in ABLATION or cost_of(model) is not None


def published_war_on_dfew(model: str) -> float | None:
    if model in ABLATION:
        return ABLATION[model].war
    return next((row.war for row in SCORES["dfew"].rows if row.model == model), None)
