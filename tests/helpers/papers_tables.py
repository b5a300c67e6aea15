"""The paper's Tables 1 to 6 and the diagonal of Figure 7 as printed, with a hyphen for missing values.

Typed from the printed tables. Tests compare this copy with that of the package: correct either only with the paper
open.
"""

# The DAiSEE folder with these counts of boredom, engagement, confusion, frustration: found, then kept.
TABLE_1 = """
Train       849 4163 275 194   259 582 275 194
Test        264 1301  90  68    91 204  90  68
Validation  470 1040 106 104   139 312 106 104
"""

# UAR, WAR on DFEW.
TABLE_2 = """
ResNet18 + TFormer                  53.56 67.42
ResNet18 + DTFormer                 54.22 68.13
ResNet18 + CBAM + DTFormer          55.14 68.65
ResNet18 + SE + DTFormer            55.35 68.79
ResNet18 + AGA + TFormer            54.98 68.51
ResNet18 + AGA w/o gate + DTFormer  54.67 68.44
ResNet18 + AGA + DTFormer           55.63 69.30
"""

# UAR, WAR.
TABLE_3 = """
C3D              22.68 31.69
I3D-RGB          30.17 38.78
VGG13 + LSTM     32.41 43.37
ResNet18 + LSTM  30.92 42.59
Former-DFER      37.20 46.85
NR-DFERNet       33.99 45.97
NSNP-DFER        37.80 46.40
MSSL             39.27 48.01
TG-DFER          41.50 51.67
AGDTNet          35.25 47.08
"""

# Happy, sad, neutral, angry, surprise, disgust, fear; UAR, WAR.
TABLE_4 = """
C3D              75.17 39.49 55.11 62.49 45.00  1.38 20.51  42.74 53.54
I3D-RGB          78.61 44.19 56.69 55.87 45.88  2.07 20.51  43.40 54.27
VGG11 + LSTM     76.89 37.65 58.04 60.70 43.70  0.00 19.73  42.39 53.70
ResNet18 + LSTM  78.00 40.65 53.77 56.83 45.00  4.14 21.62  42.86 53.08
Former-DFER      84.05 62.57 67.52 70.03 56.43  3.45 31.78  53.69 65.70
NR-DFERNet       88.47 64.84 70.03 75.09 61.60  0.00 19.43  54.21 68.19
LOGO-former      85.39 66.52 68.94 71.33 54.59  0.00 32.71  54.21 66.98
Dual-STI         87.65 68.32 67.55 71.70 57.93  8.97 36.14  56.89 68.29
NSNP-DFER        87.93 65.08 62.48 71.89 62.46  0.00 40.56  56.05 68.02
MSSL             - - - - - - -                              59.86 68.58
ST_RDGCN         89.57 69.92 62.17 79.31 62.24 20.69 30.39  59.18 69.37
TG-DFER          90.92 74.92 71.41 73.36 59.43 13.10 38.03  60.17 71.62
AGDTNet          88.96 68.07 67.79 76.27 65.99  0.00 22.35  55.63 69.30
"""

# Accuracy.
TABLE_5 = """
I3D            51.03
ResNet + LSTM  58.24
Former-DFER    59.83
LSTPNet        61.37
AGDTNet        62.56
"""

# Millions of parameters, GFLOPs, milliseconds.
TABLE_6 = """
C3D          78 39  -
Former-DFER  18  9  8
NR-DFERNet    -  6  -
MAE-DFER     85 50  -
AGDTNet      19  6 11
"""

# Of AGDTNet, in the text next to Table 6.
TEXT_6 = "19.10 5.98 11.71"

# Boredom, engagement, confusion, frustration, of AGDTNet on DAiSEE.
FIGURE_7 = "65 56 63 76"

# Gains of AGDTNet in WAR on DFEW, in points: as stated in the text, and as computed from Table 4.
GAINS = """
ResNet18 + LSTM  17.15 16.22
Former-DFER       4.53  3.60
LOGO-former       2.04  2.32
"""


def rows(table: str) -> dict[str, list[str]]:
    """Return the printed numbers by name. Two spaces separate the name from the numbers."""
    lines = [line.split("  ", 1) for line in table.strip().splitlines()]
    return {name: numbers.split() for name, numbers in lines}
