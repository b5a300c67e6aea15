"""What publications print of the models' cost and of their score on DFEW: quoted, never measured here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Millions of parameters, giga multiply-adds of a clip, WAR on DFEW in per cent; None where none was found.

    ``note`` says what a figure leaves open.
    """

    parameters: float | None = None
    multiply_adds: float | None = None
    war: float | None = None
    note: str = ""


# The scores of the comparison systems are as later comparisons quote them; those of AGDTNet are its paper's Table 2.
PUBLISHED = {
    "c3d": Published(78.03, 38.55, 53.54),
    "i3d": Published(12.29, 6.99, 54.27),
    "vgg11-lstm": Published(None, 29.9, None, "count of the convolutions alone"),
    "vgg13-lstm": Published(133.4, 44.7, 53.70, "count of the convolutions alone"),
    "vgg16-lstm": Published(138.7),
    "resnet18-lstm-dfew": Published(17.39, 9.12),
    "resnet18-lstm": Published(None, None, 63.85, "score printed for ResNet18+LSTM without its definition"),
    "former-dfer": Published(18.03, 8.30, 65.70),
    "tformer": Published(war=67.42),
    "dtformer": Published(war=68.13),
    "cbam+dtformer": Published(war=68.65),
    "se+dtformer": Published(war=68.79),
    "aga+tformer": Published(war=68.51),
    "aga-without-gate+dtformer": Published(war=68.44),
    "agdtnet": Published(19.10, 5.98, 69.30, "its ResNet18 alone counts 7.76 G at 16 frames"),
}
