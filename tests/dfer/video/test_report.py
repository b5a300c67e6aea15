"""The page as text: its contents, escaping, and atomic writing."""

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dfer.errors import BadInput
from dfer.video.notice import LAW, WHAT_IT_IS
from dfer.video.report import write_report
from dfer.video.timeline import Row, Timeline
from helpers.timelines import CLASSES, MadeRows, made_thumbnails, made_timeline

SEEN = {1: [(0.0, 6.0)], 2: [(2.0, 4.0)]}


class Page(HTMLParser):
    """All elements with their attributes, and the text outside style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data: Any = None
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside.append("data" if dict(attrs).get("id") == "data" else tag)

    def handle_endtag(self, tag: str) -> None:
        self._inside.append("")

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] == ["data"]:
            self.data = json.loads(data)
        elif self._inside[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def written(folder: Path, timeline: Timeline, video: Path | None = None, *, pictures: bool = True) -> str:
    path = folder / "page.html"
    write_report(path, timeline, video=video, pictures=pictures)
    assert [file.name for file in folder.iterdir()] == ["page.html"]
    return path.read_text(encoding="utf-8")


def test_page_loads_nothing_from_outside(tmp_path: Path) -> None:
    text = written(
        tmp_path, made_timeline(SEEN, duration=6, thumbnails={1: made_thumbnails([1, 2])}), tmp_path / "clip.mp4"
    )
    assert "http" not in text.replace("http-equiv", "")
    assert not re.search(r"""["'(=]//|@import|url\((?!#hatch\))|fetch\(|XMLHttp|WebSocket|sendBeacon|import\(""", text)
    page = Page(text)
    addresses = [e[k] for _, e in page.elements for k in ("src", "href", "srcset", "action", "poster") if k in e]
    assert addresses == ["data:,", "clip.mp4", (tmp_path / "clip.mp4").as_uri()]
    assert all(thumbnail["picture"].startswith("data:image/jpeg") for thumbnail in page.data["series"][1]["thumbnails"])
    (policy,) = (e["content"] for e in page.all("meta") if e.get("http-equiv") == "Content-Security-Policy")
    assert (policy or "").startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in (policy or "")


def test_names_are_escaped(tmp_path: Path) -> None:
    name = "</script><script>window.hacked=1</script>\"'&\u2028"
    timeline = made_timeline(
        SEEN,
        duration=6,
        classes=("happy", name),
        video=Path(f"{name.replace('/', '')}.mp4"),
        trained_on=name,
        problem=name,
    )
    text = written(tmp_path, timeline)
    page = Page(text)
    assert len(page.all("script")) == 2
    assert text.count("<script") == len(re.findall("</script", text)) == 2
    assert page.data["classes"] == ["happy", name]
    assert unescape(page.text).count("window.hacked=1") >= 4


def test_page_without_thumbnails_shows_no_face(tmp_path: Path) -> None:
    text = written(tmp_path, made_timeline(SEEN, duration=6))
    assert "data:image" not in text
    assert not Page(text).all("img")


def test_thumbnails_are_few_and_small(tmp_path: Path) -> None:
    pictures = made_thumbnails([0.1 * index for index in range(100)], size=224)
    page = Page(written(tmp_path, made_timeline({1: [(0, 20)]}, thumbnails={1: pictures})))
    shown = page.data["series"][0]["thumbnails"]
    assert 12 <= len(shown) <= 24
    assert shown[0]["time"] == 0
    assert max(len(each["picture"]) for each in shown) < 2000


def test_player_appears_only_with_a_video(tmp_path: Path) -> None:
    timeline = made_timeline(SEEN, duration=6)
    assert not Page(written(tmp_path, timeline)).all("video")
    video = tmp_path / 'a"b' / "50% #1?.mp4"
    sources = Page(written(tmp_path, timeline, video)).all("source")
    assert [source["src"] for source in sources] == ["a%22b/50%25%20%231%3F.mp4", video.as_uri()]


def test_page_explains_the_estimate_and_the_weights(tmp_path: Path) -> None:
    text = Page(written(tmp_path, made_timeline(SEEN, duration=6, problem="the file ends early"))).text
    for said in (
        WHAT_IT_IS, LAW, "clip.mp4", "Problem: the file ends early", "Weights trained on DFEW, fold 1", "UAR 81.2%",
        "WAR 83.4%", "8 frames of 64 x 64 pixels", "0.485, 0.456, 0.406", "less than 0.15",
        "Epoch 7, chosen on the validation clips",
        "Recall of happy 98.0%", "Recall of disgust no test clip", "In view for 2.0 s of 6.0 s.", "at most 2 at once",
    ):  # fmt: skip
        assert said in text


@pytest.mark.parametrize(
    ("trained_on", "first", "recalls"),
    [
        ("drawings (rendered faces, x), so often wrong on real faces", "These weights were trained on drawings", False),
        ("a list", "An estimate of the displayed expression", False),
        ("FERV39k", "An estimate of the displayed expression", True),
    ],
)
def test_recalls_appear_only_when_measured_on_people(
    tmp_path: Path, trained_on: str, first: str, recalls: bool
) -> None:
    page = Page(written(tmp_path, made_timeline(SEEN, duration=6, trained_on=trained_on)))
    assert first in page.text[:200]
    for said in ("98%", "98.0%", "81.2%", "recall on FERV39k", "test clips of FERV39k"):
        assert (said in page.text) == recalls, said
    assert ("gives no scores on videos of people" in page.text) == (trained_on == "a list")


def still(path: Path, *rows: Row) -> Timeline:
    picture = path / "still.png"
    Image.new("RGB", (320, 240), (90, 120, 150)).save(picture)
    return replace(made_timeline({}, duration=0, still=True, video=picture), rows=list(rows), fps=0.0)


def test_still_is_shown_as_picture_and_bars(tmp_path: Path) -> None:
    seen = MadeRows({1: [(0, 1)], 2: [(0, 1)]}, 1, 1.0, len(CLASSES))
    folder = tmp_path / "out"
    folder.mkdir()
    page = Page(written(folder, still(tmp_path, *seen)))
    for absent in ("share of time", "frames/s", "In view", "0.0 s"):
        assert absent not in page.text
    assert not page.all("video")
    assert page.data["series"] == []
    (picture,) = page.all("img")
    assert (picture["src"] or "").startswith("data:image/png;base64,")
    assert len(page.all("rect")) == 2 * len(CLASSES)
    widths = [float(bar["width"] or 0) for bar in page.all("rect")][: len(CLASSES)]
    assert widths == sorted(widths, reverse=True)
    assert sum(widths) == pytest.approx(100, abs=0.5)
    assert not Page(written(folder, still(tmp_path, *seen), pictures=False)).all("img")
    assert "No face was found in this picture." in Page(written(folder, still(tmp_path))).text


def test_variable_frame_rate_is_not_shown(tmp_path: Path) -> None:
    assert "24 frames/s" in written(tmp_path, made_timeline(SEEN, duration=6))
    assert "frames/s" not in written(tmp_path, replace(made_timeline(SEEN, duration=6), fps=0.0))


def test_full_band_is_a_whole_number_of_faces(tmp_path: Path) -> None:
    for people in (2, 3, 5):
        page = Page(written(tmp_path, made_timeline({n: [(0, 6)] for n in range(1, people + 1)}, duration=6)))
        top = page.data["series"][0]["top"]
        assert isinstance(top, int)
        assert 1 <= top <= people
        assert f"a full band is {top}." in page.text


def test_shares_of_a_face_sum_to_one(tmp_path: Path) -> None:
    text = written(tmp_path, made_timeline({1: [(0, 20)]}))
    (table,) = re.findall(r"<tbody>(.*?)</tbody>", text)
    rows = re.findall(r'scope="row".*?</i>([^<]+)</th>.*?<td>(\d+)%</td>', table)
    assert [name for name, _ in rows] == [*CLASSES, "uncertain"]
    assert sum(int(share) for _, share in rows) == pytest.approx(100, abs=4)


def test_summary_of_all_faces_needs_two_faces(tmp_path: Path) -> None:
    assert "All faces" not in written(tmp_path, made_timeline({1: [(0, 6)]}, duration=6))
    page = Page(written(tmp_path, made_timeline({}, duration=600)))
    assert "No face was found in this video." in page.text
    assert page.data["series"] == []


def test_page_of_an_hour_is_small(tmp_path: Path) -> None:
    text = written(tmp_path, made_timeline({1: [(0, 3600)]}, duration=3600, fps=2))
    assert len(text) < 150_000


def test_failed_write_keeps_the_old_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("before")
    unreadable = replace(made_timeline(SEEN, duration=6), rows=map(int, ["no number"]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no number"):
        write_report(page, unreadable, video=None, pictures=True)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "before")]
    with pytest.raises(BadInput, match=r"absent.*cannot be written"):
        write_report(tmp_path / "absent" / "page.html", made_timeline(SEEN, duration=6), video=None, pictures=True)
