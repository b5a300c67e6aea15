"""One clip in two places: what its path cannot tell, its frames do."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from dfer.data.clips import ClipSource


def copies(sources: Mapping[str, ClipSource], contents: Mapping[str, Sequence[bytes]]) -> list[str]:
    """A remark for every two parts, by name, with clips of one content.

    No error: two clips of equal length may be black at the middle, by which they are compared.
    """
    remarks = []
    for one, other in combinations(sources, 2):
        seen = {content: index for index, content in enumerate(contents[one])}
        shared = [index for index, content in enumerate(contents[other]) if content in seen]
        if shared:
            first, like = shared[0], seen[contents[other][shared[0]]]
            remarks.append(
                f"{len(shared)} of {len(contents[other])} {other} clips look like {one} clips, first "
                f"{sources[other].name(first)} and {sources[one].name(like)}: as many frames, and the same one at the "
                "middle; scores on copies say nothing"
            )
    return remarks
