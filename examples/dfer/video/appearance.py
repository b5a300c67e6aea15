"""What an aligned face looks like, coarsely: enough to tell the people of one scene apart for a second.

It is kept in memory while a face is followed, and never written: nobody can be recognised by it later.
"""

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

# The middle of an aligned face, without the hair and what is behind it: from this share of a side, to that.
TOP, BOTTOM, LEFT, RIGHT = 0.14, 0.90, 0.11, 0.89
SIDE = 16


def looks(aligned: Tensor) -> Tensor:
    """Aligned faces (n, 3, size, size) uint8 -> (n, 768), each of mean 0 and length 1.

    The product of two rows is the correlation of the two faces, each reduced to 16 x 16 colours.
    """
    size = aligned.shape[-1]
    middle = aligned[:, :, round(TOP * size) : round(BOTTOM * size), round(LEFT * size) : round(RIGHT * size)]
    reduced = adaptive_avg_pool2d(middle.float(), SIDE).flatten(1)
    centred = reduced - reduced.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-6)
