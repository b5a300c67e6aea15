"""Listed paths are found in the current place of the frames."""

from dfer.data.data_set import Entry, Route, find_route


class Lying:
    """A place that holds the named folders."""

    def __init__(self, *folders: str) -> None:
        self.folders = folders

    def has(self, path: str) -> bool:
        return path in self.folders


def test_route_is_found_from_lines_throughout_a_long_list() -> None:
    entries = [Entry(n, f"/written/elsewhere/clips/{n}", 0) for n in range(200)]
    place = Lying(*(f"clips/{n}" for n in range(4, 200)))
    assert find_route(entries, place) == (Route(2), 49), "of every fourth line, all but the first"
