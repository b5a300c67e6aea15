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


def write_clip(folder: Path, seed: int) -> None:
    """Four frames of a pattern of its own."""
    drawn = np.random.default_rng(seed)
    pattern = drawn.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    folder.mkdir(parents=True)
    for number in range(4):
        frame = Image.fromarray(np.roll(pattern, number, axis=1)).resize((48, 48))
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
        r"predictions\*\*: fold 1: 1 of 18 test clips have no prediction, first .*p0/003",
    ),
    "a prediction of a training clip": (
        edit("answers1.txt", r"^/home/x/3.mp4", "7"),
        r"fold 1: 1 predictions are of no test clip, first 7",
    ),
    "two predictions": (
        edit("answers2.txt", r"^(/home/x/7.mp4.*\n)", r"\1\1"),
        r"fold 2: 1 clips are predicted more than once, first /home/x/7.mp4",
    ),
    "a class without test clips": (NO_SAD, r"classes\*\*: fold 1: no test clip shows sad"),
    "trained on and tested on": (
        edit("train1.txt", r"\Z", "p0/003 4 0\n"),
        r"parts\*\*: fold 1: 1 test clips are training clips too, first .*p0/003",
    ),
    "a person in two parts": (MOVED, r"persons\*\*: fold 1: 1 persons are in training and test, first p0"),
    "identical frames": (
        copy_clip,
        r"copies\*\*: fold 1: 1 of 18 test clips look the same as training clips, first .*p0/000",
    ),
    "nearly identical frames": (
        nearly_copy_clip,
        r"copies\*\*: fold 1: 1 test clips nearly look like training clips, first .*p0/000",
    ),
    "a mirrored copy": (
        mirror_clip,
        r"copies\*\*: fold 1: 1 test clips nearly look like training clips, first .*p0/000",
    ),
    "a clip of black frames": (
        blacken_clip,
        r"frames\*\*: fold 1, 2, 3: 1 clips are of one plain colour, first .*p0/000",
    ),
    "one answer for all clips": (always_happy, r"predictions\*\*: fold 2: all answers are happy"),
    "labels of one list count from one": (
        count_labels_from_one,
        r"classes\*\*: fold 1, 2, 3: no training clip shows class 3",
    ),
    "a frame that is gone": (
        lambda root: (root / "clips/p0/003/2.png").unlink(),
        r"frames\*\*: fold 1: .*1 of 18 clips have another number of frames, .*says 4, the disk has 3",
    ),
    "a folder that is gone": (
        lambda root: shutil.rmtree(root / "clips/p0/003"),
        r"frames\*\*: fold 1: .*1 of 18 clips have no folder, first at line 4: p0/003",
    ),
    "tested in two folds": (
        both(edit("train2.txt", r"^p0/003.*\n", ""), edit("test2.txt", r"\Z", "p0/003 4 0\n")),
        r"folds\*\*: fold 2: 1 test clips are tested in fold 1 too, first .*p0/003",
    ),
    "tested in no fold": (MOVED, r"folds\*\*: fold 3: 1 clips are tested in no fold, first .*p0/003"),
    "left out of a fold": (
        edit("train2.txt", r"^p0/003.*\n", ""),
        r"folds\*\*: fold 2: 1 clips of other folds are left out, first .*p0/003",
    ),
    "two labels": (
        edit("train2.txt", r"^p0/003 4 0", "p0/003 4 1"),
        r"labels\*\*: fold 1, 2, 3: 1 clips have two labels, first .*p0/003",
    ),
    "a line twice": (
        edit("train3.txt", r"^(p0/003.*\n)", r"\1\1"),
        r"labels\*\*: fold 3: 1 training clips are listed more than once, first .*p0/003",
    ),
    "classes counted from one": (count_from_one, r"numbering\*\*: \d.*numbered one lower, \d"),
    "classes in another order": (by_the_alphabet, r"numbering\*\*: \d.*numbered by the alphabet, 83\.3 %"),
}


def test_nothing_is_found_in_a_clean_result(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, page = run(made)
    assert code == 0, page
    assert "## Found\n\nNothing.\n" in page
    assert "54 test clips in 3 test sets; frames looked at" in page
    assert re.search(r"\| mean of 3 folds \| 54 \| 83\.33 \[\d+\.\d+, \d+\.\d+\] \| 83\.33 \[", page)
    assert re.search(r"\| all clips pooled \| 54 \| 83\.33 \[", page)
    assert page in capsys.readouterr().out


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(made: Path, fault: str) -> None:
    put, expected = FAULTS[fault]
    put(made)
    code, page = run(made)
    assert code == 1
    assert re.search(expected, page.partition("## Found")[2]), page


def test_a_published_figure_is_held_against_the_interval(made: Path) -> None:
    _, page = run(made, "--uar", "83", "--war", "99.5")
    assert (
        "mean of 3 folds: UAR differs by +0.33 points from the published 83.00, which is inside the interval." in page
    )
    assert "WAR differs by -16.17 points from the published 99.50, which is outside the interval." in page


def test_lists_alone_are_audited_without_frames_and_predictions(made: Path) -> None:
    shutil.rmtree(made / "clips")
    code, page = run(made, seen=False)
    assert code == 0
    assert "Nothing found in: labels, classes, parts, persons, folds, predictions, numbering.\n" in page
    assert "Not asked, copies: no frames were given.\n" in page
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


def test_dfew_is_held_against_its_published_counts(tmp_path: Path) -> None:
    write_dfew(tmp_path)
    assert main(["--dfew", str(tmp_path), "--fold", "2", "--out", str(tmp_path / "page.md")]) == 1
    page = (tmp_path / "page.md").read_text()
    assert "- **clips**: 21 training clips, published are 9356\n- **clips**: 7 test clips, published are 2341\n" in page


def test_bad_input(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made / "wrong.txt").write_text("3,7\n")
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
    ):
        assert main([*flags, "--out", str(made / "page.md")]) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
    assert not (made / "page.md").exists()
