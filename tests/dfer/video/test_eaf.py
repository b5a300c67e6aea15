"""The EAF file: one tier per face, stretches of one label, valid times."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from dfer.errors import BadInput
from dfer.video.timeline_files import Stretch, stretches, write_eaf
from helpers.made_rows import CLASSES, facts, row, timeline

ROWS = [
    row(0, None),
    *(row(n, 1, "happy" if n < 10 else "sad") for n in range(1, 15)),
    *(r for n in range(15, 20) for r in (row(n, 1, "sad"), row(n, 2, "uncertain"))),
    row(20, None),
    *(row(n, 1, "sad") for n in range(21, 25)),
]


def test_stretches_join_equal_labels_and_end_at_gaps() -> None:
    assert stretches(ROWS, CLASSES, 1.0) == [
        Stretch(1, "happy", 0.04, 0.4),
        Stretch(1, "sad", 0.4, 0.8),
        Stretch(2, "uncertain", 0.6, 0.8),
        Stretch(1, "sad", 0.84, 1.0),
    ]
    assert stretches([], CLASSES, 1.0) == []
    assert stretches([row(0, None)], CLASSES, 1.0) == []
    # The stated end of the file may be wrong.
    assert stretches([row(50, 1)], CLASSES, 1.0) == [Stretch(1, "happy", 2.0, 2.0)]


def test_file_has_tiers_annotations_and_times(tmp_path: Path) -> None:
    video = tmp_path / "a lecture & more.mp4"
    video.touch()
    write_eaf(tmp_path / "a.eaf", timeline(video, ROWS))
    root = ElementTree.parse(tmp_path / "a.eaf").getroot()
    assert (root.tag, root.get("FORMAT")) == ("ANNOTATION_DOCUMENT", "3.0")
    # The order that the schema asks for.
    tags = [child.tag for child in root]
    assert tags == ["HEADER", "TIME_ORDER", "TIER", "TIER", "LINGUISTIC_TYPE"]
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("MEDIA_URL") == video.as_uri()
    assert media.get("RELATIVE_MEDIA_URL") == "./a%20lecture%20%26%20more.mp4"
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE", "")) for s in root.findall("TIME_ORDER/TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values()) == [40, 400, 400, 600, 800, 800, 840, 1000]
    kinds = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.findall("LINGUISTIC_TYPE")}
    found: dict[str | None, list[tuple[str | None, int, int]]] = {}
    names, used = set(), []
    for tier in root.findall("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in kinds
        spans = tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION")
        names |= {span.get("ANNOTATION_ID") for span in spans}
        used += [span.get(f"TIME_SLOT_REF{end}") for span in spans for end in (1, 2)]
        found[tier.get("TIER_ID")] = [
            (span.findtext("ANNOTATION_VALUE"), slots[span.get("TIME_SLOT_REF1")], slots[span.get("TIME_SLOT_REF2")])
            for span in spans
        ]
    assert found == {
        "face 1": [("happy", 40, 400), ("sad", 400, 800), ("sad", 840, 1000)],
        "face 2": [("uncertain", 600, 800)],
    }
    assert len(names) == 4
    # Each annotation has its own slots, so that moving one in ELAN does not move another.
    assert sorted(used, key=str) == sorted(slots, key=str)
    notice = root.findtext("HEADER/PROPERTY")
    assert notice is not None
    assert "prohibited" in notice


def test_annotations_are_not_empty_and_lie_within_the_video(tmp_path: Path) -> None:
    rows = [row(0, 1), *(row(n, 1, "sad" if n % 2 else "happy", rate=5000) for n in range(1, 5)), row(2, 1, "sad")]
    write_eaf(tmp_path / "a.eaf", timeline(tmp_path / "a.mp4", rows))
    root = ElementTree.parse(tmp_path / "a.eaf").getroot()
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE", "")) for s in root.findall("TIME_ORDER/TIME_SLOT")}
    spans = [
        (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")]) for a in root.iter("ALIGNABLE_ANNOTATION")
    ]
    assert len(spans) >= 2
    times = [time for span in spans for time in span]
    assert times == sorted(times)
    assert all(start < end <= 120 for start, end in spans)


def test_any_class_name_is_written_and_a_camera_has_no_media(tmp_path: Path) -> None:
    classes = ("<b>&\x07\udcff", "]]>", '"neutral"')
    made = timeline(tmp_path / "camera0", [row(0, 1), row(1, 1, "sad")], facts=facts(classes=classes))
    write_eaf(tmp_path / "a.eaf", made)
    root = ElementTree.parse(tmp_path / "a.eaf").getroot()
    assert [value.text for value in root.iter("ANNOTATION_VALUE")] == ["<b>&\ufffd\ufffd", "]]>"]
    assert root.find("HEADER/MEDIA_DESCRIPTOR") is None


def test_empty_timeline_is_written_and_unwritable_path_refused(tmp_path: Path) -> None:
    write_eaf(tmp_path / "a.eaf", timeline(tmp_path / "a.mp4", [row(0, None)]))
    assert ElementTree.parse(tmp_path / "a.eaf").getroot().findall("TIER") == []
    with pytest.raises(BadInput, match=r"b.eaf: cannot be written"):
        write_eaf(tmp_path / "nowhere" / "b.eaf", timeline(tmp_path / "a.mp4", ROWS))
    assert [path.name for path in tmp_path.iterdir()] == ["a.eaf"]


def test_relative_address_resolves_to_the_video(tmp_path: Path) -> None:
    video = tmp_path / "videos" / "a.mp4"
    for folder in (tmp_path / "recognised", video.parent):
        folder.mkdir()
    video.touch()
    write_eaf(tmp_path / "recognised" / "a.eaf", timeline(video, ROWS))
    media = ElementTree.parse(tmp_path / "recognised" / "a.eaf").find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("RELATIVE_MEDIA_URL") == "./../videos/a.mp4"
