"""audit.py on a made result: nothing is found in it as it is, and each fault that is put in is found and named."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit import main
from helpers.made_data import write_dfew

CLASSES = ("sad", "happy", "angry")
FOLDS = (1, 2, 3)
PERSONS = 9


def write_clip(folder: Path, seed: int, first: int = 0) -> None:
    """Four frames of a moving pattern, which depends on the seed."""
    drawn = np.random.default_rng(seed)
    pattern = drawn.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        frame = Image.fromarray(np.roll(pattern, first + number, axis=1)).resize((48, 48))
        frame.save(folder / f"{number}.png")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Three folds by person; six clips of each person; one answer in six is wrong."""
    for number in range(6 * PERSONS):
        write_clip(tmp_path / f"clips/p{number // 6}/{number:03}", number)
    for fold in FOLDS:
        parts: dict[str, list[str]] = {"train": [], "test": [], "answers": ["clip,answer"]}
        for number in range(6 * PERSONS):
            tested = number // 6 % 3 == fold - 1
            parts["test" if tested else "train"].append(f"p{number // 6}/{number:03} 4 {number % 3}")
            if tested:
                parts["answers"].append(f"/home/x/{number}.mp4,{(number % 3 + (number % 6 == 5)) % 3}")
        for part, lines in parts.items():
            (tmp_path / f"{part}{fold}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def run(root: Path, *more: str, seen: bool = True) -> tuple[int, str]:
    lists = [[str(root / f"{part}{fold}.txt") for fold in FOLDS] for part in ("train", "test", "answers")]
    flags = [
        "--list",
        *lists[0],
        "--test-list",
        *lists[1],
        "--predictions",
        *lists[2],
        "--class-names",
        *[",".join(CLASSES)],
    ]
    frames = ["--frames-root", str(root / "clips")] if seen else []
    code = main([*flags, *frames, "--person", r"p\d+", "--out", str(root / "page.md"), *more])
    page = root / "page.md"
    return code, page.read_text() if page.exists() else ""


def edit(file: str, pattern: str, text: str) -> Callable[[Path], None]:
    def put(root: Path) -> None:
        before = (root / file).read_text()
        after = re.sub(pattern, text, before, count=1, flags=re.MULTILINE)
        assert after != before
        (root / file).write_text(after)

    return put


def both(*faults: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: [fault(root) for fault in faults] and None


def copy_clip(root: Path) -> None:
    """A test clip of fold 1 gets the frames of a clip that is trained on there."""
    shutil.rmtree(root / "clips/p0/000")
    shutil.copytree(root / "clips/p1/007", root / "clips/p0/000")


def nearly_copy_clip(root: Path) -> None:
    shutil.rmtree(root / "clips/p0/000")
    (root / "clips/p0/000").mkdir()
    for number in range(4):
        with Image.open(root / f"clips/p1/007/{number}.png") as frame:
            frame.resize((44, 44)).save(root / f"clips/p0/000/{number}.jpg", quality=85)


def mirror_clip(root: Path) -> None:
    for number in range(4):
        with Image.open(root / f"clips/p1/007/{number}.png") as frame:
            frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / f"clips/p0/000/{number}.png")


def cut_clip_later(root: Path) -> None:
    """Three of the four frames are those of a training clip."""
    write_clip(root / "clips/p0/000", 7, first=1)


def copy_still_clip(root: Path) -> None:
    """All frames of a clip are alike, so every shift would fit."""
    for name, quality in (("p0/000", 95), ("p1/007", 80)):
        for number in range(4):
            with Image.open(root / "clips/p2/013/0.png") as frame:
                frame.save(root / f"clips/{name}/{number}.jpg", quality=quality - number)
            (root / f"clips/{name}/{number}.png").unlink()


def break_frame(root: Path) -> None:
    (root / "clips/p0/000/2.png").write_bytes(b"broken")


def swap_score_columns(root: Path) -> None:
    """Scores under the names of the classes, in another order than --class-names."""
    for fold in FOLDS:
        file = root / f"answers{fold}.txt"
        rows = [row.split(",") for row in file.read_text().splitlines()[1:]]
        lines = [",".join([clip, *("0.8" if int(answer) == n else "0.1" for n in (2, 1, 0))]) for clip, answer in rows]
        file.write_text("\n".join(["clip,angry,happy,sad", *lines]) + "\n")


def blacken_clip(root: Path) -> None:
    for number in range(4):
        Image.new("RGB", (48, 48)).save(root / f"clips/p0/000/{number}.png")


def always_happy(root: Path) -> None:
    file = root / "answers2.txt"
    file.write_text(re.sub(r",\d", ",1", file.read_text()))


def count_labels_from_one(root: Path) -> None:
    file = root / "test3.txt"
    file.write_text(re.sub(r"(\d)$", lambda label: str(int(label[1]) + 1), file.read_text(), flags=re.MULTILINE))


def count_from_one(root: Path) -> None:
    for fold in FOLDS:
        file = root / f"answers{fold}.txt"
        file.write_text(re.sub(r",(\d)", lambda found: f",{min(int(found[1]) + 1, 2)}", file.read_text()))


def by_the_alphabet(root: Path) -> None:
    """A program that sorts the names of the classes: angry, happy, sad."""
    for fold in FOLDS:
        file = root / f"answers{fold}.txt"
        file.write_text(re.sub(r",(\d)", lambda found: f",{2 - int(found[1])}", file.read_text()))


NO_SAD = both(*[edit("test1.txt", rf"^p\d/{number:03} 4 0\n", "") for number in (0, 3, 18, 21, 36, 39)])
MOVED = both(edit("test1.txt", r"^p0/003.*\n", ""), edit("train1.txt", r"\Z", "p0/003 4 0\n"))
FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no prediction": (
        edit("answers1.txt", r"^/home/x/3.mp4.*\n", ""),
        "predictions**: fold 1: 1 test clip is without a prediction: p0/003",
    ),
    "a prediction of a training clip": (
        edit("answers1.txt", r"^/home/x/3.mp4", "7"),
        "predictions**: fold 1: 1 prediction is not of a test clip: 7",
    ),
    "two predictions": (
        edit("answers2.txt", r"^(/home/x/7.mp4.*\n)", r"\1\1"),
        "predictions**: fold 2: 1 clip is predicted more than once: /home/x/7.mp4",
    ),
    "a class without test clips": (NO_SAD, "classes**: fold 1: 1 class is without a test clip: sad"),
    "trained on and tested on": (
        edit("train1.txt", r"\Z", "p0/003 4 0\n"),
        "parts**: fold 1: 1 clip is in both test and training: p0/003",
    ),
    "a person in two parts": (MOVED, "persons**: fold 1: 1 person is in both test and training: p0"),
    "identical frames": (copy_clip, "copies**: 1 pair is alike, though in different parts: p1/007 and p0/000"),
    "nearly identical frames": (
        nearly_copy_clip,
        "copies**: 1 pair is alike, though in different parts: p1/007 and p0/000",
    ),
    "a mirrored copy": (
        mirror_clip,
        "copies**: 1 pair is alike, though in different parts: p1/007 and p0/000 (mirrored)",
    ),
    "a copy that is cut later": (
        cut_clip_later,
        "copies**: 1 pair is alike, though in different parts: p1/007 and p0/000 (frames shifted by 1)",
    ),
    "a still copy": (
        copy_still_clip,
        "copies**: 1 pair is alike, though in different parts: p1/007 and p0/000 Nothing found in",
    ),
    "a clip of black frames": (blacken_clip, "frames**: 1 clip is of one plain colour: p0/000"),
    "a broken frame": (break_frame, "frames**: 1 clip is unreadable: "),
    "one answer for all clips": (always_happy, "predictions**: fold 2: 1 class is the only answer: happy"),
    "labels of one list count from one": (
        count_labels_from_one,
        "classes**: folds 1, 2, 3: 1 class is without a training clip: class 3",
    ),
    "a frame that is gone": (
        lambda root: (root / "clips/p0/003/2.png").unlink(),
        "frames**: 1 clip is not as listed (another number of frames; the files on disk win): "
        "p0/003 (listed 4, on disk 3)",
    ),
    "a folder that is gone": (
        lambda root: shutil.rmtree(root / "clips/p0/003"),
        "frames**: 1 clip is not as listed (no folder; left out): p0/003",
    ),
    "tested in two folds": (
        both(edit("train2.txt", r"^p0/003.*\n", ""), edit("test2.txt", r"\Z", "p0/003 4 0\n")),
        "folds**: 1 clip is tested in more than one fold: p0/003",
    ),
    "tested in no fold": (MOVED, "folds**: 1 clip is never tested: p0/003"),
    "left out of a fold": (
        edit("train2.txt", r"^p0/003.*\n", ""),
        "folds**: fold 2: 1 clip is left out, but listed in another fold: p0/003",
    ),
    "two labels": (
        edit("train2.txt", r"^p0/003 4 0", "p0/003 4 1"),
        "labels**: 1 clip is listed with two labels: p0/003",
    ),
    "a line twice": (
        edit("train3.txt", r"^(p0/003.*\n)", r"\1\1"),
        "labels**: fold 3: 1 clip is listed more than once in a part: p0/003",
    ),
    "classes counted from one": (
        count_from_one,
        "numbering**: 1 other numbering is clearly better for the predictions: one lower (",
    ),
    "a class too high": (
        edit("answers1.txt", r"^(/home/x/2.mp4),\d", r"\1,3"),
        "predictions**: fold 1: 1 prediction is not one of the classes: /home/x/2.mp4 (3)",
    ),
    "classes in another order": (
        by_the_alphabet,
        "numbering**: 1 other numbering is clearly better for the predictions: alphabetical (83.3 % right, now ",
    ),
}


def test_clean_result_has_no_findings(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, page = run(made)
    assert code == 0, page
    assert "## Found\n\nNothing.\n" in page
    assert "54 test clips in 3 test sets, 54 of them predicted; frames looked at" in page
    assert re.search(r"\| mean of 3 folds \| 54 \| 83\.33 \[\d+\.\d+, \d+\.\d+\] \| 83\.33 \[", page)
    assert re.search(r"\| all clips pooled \| 54 \| 83\.33 \[", page)
    assert page in capsys.readouterr().out


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_and_named(made: Path, fault: str) -> None:
    put, expected = FAULTS[fault]
    put(made)
    code, page = run(made)
    assert code == 1
    assert expected in " ".join(page.partition("## Found")[2].split()), page


@pytest.mark.parametrize("fault", ["trained on and tested on", "identical frames", "a copy that is cut later"])
def test_fault_is_reported_once(made: Path, fault: str) -> None:
    """Once over all folds, and a clip in two parts is neither a copy of itself nor a person in two parts."""
    FAULTS[fault][0](made)
    assert run(made)[1].count("- **") == 1


def test_black_clips_are_not_copies(made: Path) -> None:
    for clip in ("p0/000", "p1/007", "p2/013"):
        for number in range(4):
            Image.new("RGB", (48, 48)).save(made / f"clips/{clip}/{number}.png")
    page = run(made)[1]
    assert "- **frames**: 3 clips are of one plain colour: p0/000, p1/007, p2/013\n" in page
    assert page.count("- **") == 1


def test_prediction_columns_are_found_by_name(made: Path) -> None:
    swap_score_columns(made)
    code, page = run(made)
    assert (code, "83.33" in page) == (0, True), page
    for fold in FOLDS:
        lines = [f"{clip},0,{n % 3}" for n in range(54) for clip in [n] if n // 6 % 3 == fold - 1]
        (made / f"answers{fold}.txt").write_text("\n".join(["id,label,pred", *lines]) + "\n")
    assert "| 100.00 [100.00, 100.00] |" in run(made)[1]


def test_published_score_is_compared_with_the_interval(made: Path) -> None:
    _, page = run(made, "--uar", "83", "--war", "99.5")
    assert (
        "mean of 3 folds: UAR differs by +0.33 points from the published 83.00, which is inside the interval." in page
    )
    assert "WAR differs by -16.17 points from the published 99.50, which is outside the interval." in page


def test_lists_alone_are_audited_without_frames_and_predictions(made: Path) -> None:
    shutil.rmtree(made / "clips")
    code, page = run(made, seen=False)
    assert code == 0
    assert "Nothing found in: labels, classes, parts, persons, folds, predictions, numbering." in " ".join(page.split())
    assert "Not checked: frames, copies; no frames were given.\n" in page
    FAULTS["trained on and tested on"][0](made)
    code, page = run(made, seen=False)
    assert (code, "frames not looked at" in page) == (1, True)


@pytest.mark.parametrize(
    "line",
    ["{0}\t{1}", "{0} {1}.0", "{0};{2}", "{0},{3}", "x/p0/{0}.mp4 {1}"],
)
def test_predictions_of_any_program(made: Path, line: str) -> None:
    for fold in FOLDS:
        file, lines = made / f"answers{fold}.txt", []
        for clip, answer in (row.split(",") for row in file.read_text().splitlines()[1:]):
            scores = ",".join("0.6" if number == int(answer) else "-1e-2" for number in range(3))
            lines.append(line.format(Path(clip).stem, answer, CLASSES[int(answer)].upper(), scores))
        file.write_text("\n".join(lines) + "\n")
    code, page = run(made)
    assert code == 0, page
    assert "83.33" in page


def test_dfew_is_compared_with_its_published_counts(tmp_path: Path) -> None:
    write_dfew(tmp_path)
    assert main(["--dfew", str(tmp_path), "--fold", "2", "--out", str(tmp_path / "page.md")]) == 1
    page = (tmp_path / "page.md").read_text()
    found = " ".join(page.split())
    assert "2 parts are not of the published size: test (7 clips, 2341 published), training (21 clips, 9356" in found


def test_bad_input(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made / "wrong.txt").write_text("3,joy\n")
    (made / "other.txt").write_text("elsewhere,1\n")
    (made / "nan.txt").write_text("3,nan,0,1\n")
    lists = ["--list", f"{made}/train1.txt", "--test-list", f"{made}/test1.txt", "--class-names", "a,b,c"]
    for flags, message in (
        ([], "name the clips: --list and --test-list, --dfew"),
        (["--list", "a", "b", "--test-list", "c"], "expected as many test lists as training lists"),
        ([*lists, "--predictions", f"{made}/wrong.txt"], "wrong.txt:1: expected a clip and one of the classes a, b, c"),
        ([*lists, "--predictions", f"{made}/nan.txt"], "nan.txt:1: expected a clip and one of the classes a, b, c"),
        ([*lists, "--predictions", f"{made}/other.txt"], "predicts none of the test clips, such as p0/000"),
        ([*lists, "--predictions", "a", "b"], "expected one file, or one for each of 1 folds"),
        (["--list", f"{made}/no.txt", "--test-list", "c"], "no.txt: cannot be read as a clip list"),
        (["--test-list", "c"], "name the clips"),
        ([*lists, "--uar", "0.62"], "--uar: expected per cent, above 1 and up to 100, got 0.62"),
        ([*lists, "--person", "["], "--person [: is not a regular expression"),
    ):
        assert main([*flags, "--out", str(made / "page.md")]) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
    assert not (made / "page.md").exists()
