"""One clip in two places: what its path cannot tell, its frames do."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from dfer.data.clips import ClipSource


def copies(sources: Mapping[str, ClipSource], contents: Mapping[str, Sequence[bytes]]) -> list[str]:
    """A remark for every two parts, by name, in which clips look the same.

    The contents find the few that may be alike; all frames that a test sees decide. No error: two clips may be black.
    """
    remarks = []
    for one, other in combinations(sources, 2):
        known = defaultdict(list)
        for index, content in enumerate(contents[one]):
            known[content].append(index)
        pairs = [
            (index, like)
            for index, content in enumerate(contents[other])
            for like in known.get(content, [])
            if sources[other].frames(index, None).equal(sources[one].frames(like, None))
        ]
        if pairs:
            index, like = pairs[0]
            remarks.append(
                f"{len(dict(pairs))} of {len(contents[other])} {other} clips look the same as {one} clips, first "
                f"{sources[other].name(index)} and {sources[one].name(like)}; scores on copies say nothing"
            )
    return remarks
