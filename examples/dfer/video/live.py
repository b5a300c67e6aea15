"""One line a second on the terminal while a camera is watched."""

from collections.abc import Sequence

from dfer.video.timeline import Row, label_of

INTERVAL = 1.0


class Live:
    """Shows the newest rows, at most once in INTERVAL seconds."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._next = 0.0

    def show(self, rows: Sequence[Row]) -> None:
        time = rows[0].timestamp
        if time < self._next:
            return
        self._next = time + INTERVAL
        shown = [
            f"face {row.face_id} {label_of(row.probabilities, self._classes)} {max(row.probabilities):.0%}"
            for row in rows
            if row.probabilities is not None
        ]
        print(f"{time:7.1f} s  {', '.join(shown) or 'no face'}", flush=True)
