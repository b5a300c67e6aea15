"""Which frames of a clip the net sees: U segments of V frames (section 3.1 of the paper, which prints neither)."""

import torch


def sample_frames(
    available: int, segments: int, per_segment: int, generator: torch.Generator | None = None
) -> list[int]:
    """Return U * V frame numbers of a clip of `available` frames, in order.

    The clip is divided evenly into U segments. With a generator (training) V frames are drawn from each; without
    (testing) the V consecutive frames at its middle are taken. A clip that is too short repeats frames.
    """
    chosen: list[int] = []
    for segment in range(segments):
        start = segment * available // segments
        length = max((segment + 1) * available // segments - start, 1)
        if generator is None and length >= per_segment:
            middle = start + (length - per_segment) // 2
            chosen += range(middle, middle + per_segment)
        elif generator is None:
            chosen += [start + place * length // per_segment for place in range(per_segment)]
        elif length >= per_segment:
            drawn = torch.randperm(length, generator=generator)[:per_segment]
            chosen += (start + drawn.sort().values).tolist()
        else:
            drawn = torch.randint(length, (per_segment,), generator=generator)
            chosen += (start + drawn.sort().values).tolist()
    return chosen
