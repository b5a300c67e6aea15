"""Turn the series that seglearn and aeon carry into the files that `ablation.py --series-sets` reads.

Use, in an environment of its own: pip install seglearn==1.2.5 aeon==1.6.0, then python docs/series_sets.py sets

With --minirocket it prints the accuracy of aeon's MiniRocket on the same files, as an outsider to compare with.
"""

import argparse
from pathlib import Path

import numpy as np

WINDOW = 100


def save(path: Path, series: list[np.ndarray], labels: np.ndarray, names: list[str], **more: np.ndarray) -> None:
    lengths = np.array([len(each) for each in series])
    vectors = np.concatenate(series).astype(np.float32)
    np.savez_compressed(path, vectors=vectors, lengths=lengths, labels=labels, names=np.array(names), **more)
    print(f"{path}: {len(series)} series of {lengths.min()} to {lengths.max()} frames, {vectors.shape[1]} channels")


def make(folder: Path) -> None:
    from aeon.datasets import load_basic_motions, load_japanese_vowels
    from seglearn.datasets import load_watch

    folder.mkdir(parents=True, exist_ok=True)
    watch = load_watch()
    people = np.array([f"{int(person):02}" for person in watch["subject"]])
    save(folder / "watch.npz", list(watch["X"]), watch["y"].astype(int), watch["y_labels"], subjects=people)
    for name, load in (("JapaneseVowels", load_japanese_vowels), ("BasicMotions", load_basic_motions)):
        parts = {"training": load(split="train"), "test": load(split="test")}
        names = sorted(set(parts["training"][1]))
        series = [np.asarray(each).T for x, _ in parts.values() for each in x]
        labels = np.array([names.index(label) for _, y in parts.values() for label in y])
        part = np.array([part for part, (x, _) in parts.items() for _ in range(len(x))])
        save(folder / f"{name}.npz", series, labels, names, parts=part)


def minirocket(folder: Path) -> None:
    """The mean over folds, on the windows and parts of the protocol; shorter series are padded by their last frame."""
    from aeon.classification.convolution_based import MiniRocketClassifier

    for file in sorted(folder.glob("*.npz")):
        held = np.load(file)
        series = np.split(held["vectors"], np.cumsum(held["lengths"])[:-1])
        longest = WINDOW if "subjects" in held else max(map(len, series))
        windows = [(i, each[k : k + longest]) for i, each in enumerate(series)
                   for k in range(0, max(1, len(each) - longest + 1), longest)]  # fmt: skip
        x = np.stack([np.pad(w, ((0, longest - len(w)), (0, 0)), mode="edge").T for _, w in windows])
        of = np.array([i for i, _ in windows])
        y = held["labels"][of]
        by = held["subjects"] if "subjects" in held else held["parts"]
        scores = []
        for left_out in sorted(set(by)) if "subjects" in held else ["test"]:
            test = by[of] == left_out
            classifier = MiniRocketClassifier(random_state=0).fit(x[~test], y[~test])
            scores.append(float((classifier.predict(x[test]) == y[test]).mean()))
        print(f"{file.stem}: MiniRocket {100 * np.mean(scores):.2f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minirocket", action="store_true")
    args = parser.parse_args()
    (minirocket if args.minirocket else make)(args.folder)
