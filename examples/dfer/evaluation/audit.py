"""A result and what it rests on: lists and predictions as tables of a database, and each question as a query."""

import json
import os
import re
import sqlite3
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from dfer.data.data_set import DataSet
from dfer.data.folders import Frames
from dfer.evaluation.audited_frames import check_frames
from dfer.evaluation.predictions import Prediction, tail
from dfer.evaluation.scores import RESAMPLES, draw_clips, interval, resample
from dfer.evaluation.tables import table, with_interval

# By the publishers: training and test clips of every fold; the fewest and the most frames of a clip.
CLIPS = {
    "dfew": ((9356, 2341), (9356, 2341), (9357, 2340), (9358, 2339), (9361, 2336)),
    "ferv39k": ((31088, 7847),),
}
FRAMES = {"dfew": (11, 847), "ferv39k": (8, 47)}
# How many clips a finding names.
MOST_NAMED = 5
TOPICS = ("clips", "labels", "classes", "parts", "persons", "frames", "copies", "folds", "predictions", "numbering")

# `key` is the end of a path, by which programs agree on a clip. A finding is read "1 <noun> is <what>: <name>".
TABLES = """
CREATE TABLE clips (fold, part, key, path, label, person);
CREATE TABLE classes (label, class);
CREATE TABLE predictions (fold, key, clip, answer);
CREATE TABLE findings (topic, noun, what, name, fold);
CREATE INDEX by_key ON clips (key);
CREATE VIEW tests AS SELECT * FROM clips WHERE part = 'test';
CREATE VIEW answers AS SELECT fold, label, answer FROM tests JOIN predictions USING (fold, key) GROUP BY fold, key;
CREATE VIEW places AS
    SELECT label, (SELECT COUNT(*) FROM classes AS other WHERE other.class < classes.class) AS place FROM classes;
CREATE VIEW numberings AS
    SELECT 'one lower' AS name, AVG(answer - 1 = label) AS share, AVG(answer = label) AS now, COUNT(*) AS n FROM answers
    UNION ALL SELECT 'one higher', AVG(answer + 1 = label), AVG(answer = label), COUNT(*) FROM answers
    UNION ALL SELECT 'alphabetical', AVG(answer = place), AVG(answer = label), COUNT(*)
        FROM answers JOIN places USING (label);
"""
# A person counts only with clips that are in one part: a clip in two parts is a finding of its own.
QUESTIONS = """
INSERT INTO findings
SELECT 'labels', 'clip', 'listed with two labels', path, NULL
    FROM clips GROUP BY key HAVING COUNT(DISTINCT label) > 1
UNION ALL SELECT 'labels', 'clip', 'listed more than once in a part', path, fold
    FROM clips GROUP BY fold, part, key HAVING COUNT(*) > 1
UNION ALL SELECT 'classes', 'class', 'without a ' || part || ' clip', class, fold
    FROM (SELECT DISTINCT fold, part FROM clips), classes
    WHERE part != 'validation' AND (fold, part, label) NOT IN (SELECT fold, part, label FROM clips)
UNION ALL SELECT 'parts', 'clip', 'in both ' || MIN(part) || ' and ' || MAX(part), path, fold
    FROM clips GROUP BY fold, key HAVING COUNT(DISTINCT part) > 1
UNION ALL SELECT 'persons', 'person', 'in both ' || MIN(part) || ' and ' || MAX(part), person, fold
    FROM (SELECT * FROM clips GROUP BY fold, key HAVING COUNT(DISTINCT part) = 1)
    WHERE person IS NOT NULL GROUP BY fold, person HAVING COUNT(DISTINCT part) > 1
UNION ALL SELECT 'folds', 'clip', 'left out, but listed in another fold', path, fold
    FROM (SELECT key, path FROM clips GROUP BY key), (SELECT DISTINCT fold FROM clips)
    WHERE (fold, key) NOT IN (SELECT fold, key FROM clips)
UNION ALL SELECT 'folds', 'clip', 'tested in more than one fold', path, NULL
    FROM tests GROUP BY key HAVING COUNT(DISTINCT fold) > 1
UNION ALL SELECT 'folds', 'clip', 'never tested', path, NULL
    FROM clips GROUP BY key HAVING SUM(part = 'test') = 0 AND (SELECT COUNT(DISTINCT fold) FROM clips) > 1
UNION ALL SELECT 'predictions', 'test clip', 'without a prediction', path, fold
    FROM tests WHERE (fold, key) NOT IN (SELECT fold, key FROM predictions) AND EXISTS (SELECT * FROM predictions)
UNION ALL SELECT 'predictions', 'prediction', 'not of a test clip', clip, fold
    FROM predictions AS given
    WHERE NOT EXISTS (SELECT * FROM tests WHERE tests.key = given.key AND tests.fold IS given.fold)
UNION ALL SELECT 'predictions', 'clip', 'predicted more than once', clip, fold
    FROM predictions GROUP BY fold, key HAVING COUNT(*) > 1
UNION ALL SELECT 'predictions', 'prediction', 'not one of the classes', clip || ' (' || answer || ')', fold
    FROM predictions WHERE answer NOT IN (SELECT label FROM classes)
UNION ALL SELECT 'predictions', 'class', 'the only answer', class, fold
    FROM answers JOIN classes ON answer = classes.label GROUP BY fold HAVING COUNT(DISTINCT answer) = 1
UNION ALL SELECT 'numbering', 'other numbering', 'clearly better for the predictions',
        PRINTF('%s (%.1f %% right, now %.1f %%)', name, 100 * share, 100 * now), NULL
    FROM numberings WHERE share - now > 0.05 AND 2 * n * (share - now) * (share - now) > 9
"""
LINES = """
SELECT topic, noun, what, folds, JSON_GROUP_ARRAY(name) FROM (
    SELECT topic, noun, what, name, GROUP_CONCAT(fold, ', ') AS folds FROM findings GROUP BY topic, noun, what, name
) GROUP BY topic, noun, what, folds
"""


class Result:
    """Lists and predictions as tables. `files` has the predictions for each fold, or one file for all folds."""

    size: int | None = None
    """Of the frames, where they can be read."""

    def __init__(
        self,
        source: str,
        folds: Mapping[int, DataSet],
        files: Sequence[Sequence[Prediction]],
        names: Sequence[str],
        person: str | None = None,
    ) -> None:
        """`person` is a regular expression; its last match in a path counts, since folders above may match too."""
        self.source, self.folds, self.predicted = source, folds, bool(files)
        self.clips: dict[str, tuple[str, Frames]] = {}
        """The path below a common folder, and the frames, by key."""
        self.db = sqlite3.connect(":memory:")
        self.db.executescript(TABLES)
        paths = {str(clip.frames) for data in folds.values() for clip in data.clips}
        above = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
        # As many folders of a path as distinguish the clips.
        ends = next((n for n in range(1, 9) if len({tail(path, n) for path in paths}) == len(paths)), 9)
        for fold, data in folds.items():
            for part, clip in ((part, clip) for part, clips in data.parts.items() for clip in clips):
                path = str(clip.frames)
                who = [clip.subject, *(match[0] for match in re.finditer(person, path))][-1] if person else clip.subject
                self.clips[tail(path, ends)] = os.path.relpath(path, above), clip.frames
                self.insert("clips", fold, part, tail(path, ends), os.path.relpath(path, above), clip.label, who)
        for label, name in enumerate(names):
            self.insert("classes", label, name)
        for fold, file in zip(folds, files, strict=False):
            for name, answer in file:
                tested = self.db.execute("SELECT fold FROM tests WHERE key = ?", [tail(name, ends)]).fetchall()
                for (own,) in [(fold,)] if len(files) > 1 else tested or [(None,)]:
                    self.insert("predictions", own, tail(name, ends), name, answer)

    def insert(self, table: str, *values: str | int | None) -> None:
        self.db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)

    def answers(self) -> dict[int, Tensor]:
        """Truths and answers (2, clips) of the predicted test clips, by fold."""
        rows = self.db.execute("SELECT * FROM answers ORDER BY fold")
        return {fold: torch.tensor([row[1:] for row in found]).T for fold, found in groupby(rows, itemgetter(0))}

    def parts(self) -> Tensor:
        """The number of the part of each clip in each fold, -1 for none: (folds, clips)."""
        found = torch.full((len(self.folds), len(self.clips)), -1)
        folds, clips = ({name: place for place, name in enumerate(names)} for names in (self.folds, self.clips))
        for fold, part, key in self.db.execute("SELECT fold, part, key FROM clips"):
            found[folds[fold], clips[key]] = ("training", "validation", "test").index(part)
        return found

    def unchecked(self) -> dict[str, str]:
        """Why topics cannot be checked."""
        persons = self.db.execute("SELECT COUNT(person) FROM clips").fetchone()[0]
        reasons = {
            "clips": ("the published numbers of clips are not known", self.source not in CLIPS),
            "frames, copies": ("no frames were given", self.size is None),
            "persons": ("no persons are known; --person finds them in paths", not persons),
            "folds": ("there is one fold", len(self.folds) == 1),
            "predictions, numbering": ("no predictions were given", not self.predicted),
        }
        return {topics: why for topics, (why, true) in reasons.items() if true}


def audit(result: Result) -> dict[str, list[str]]:
    """The findings by topic, in lines that name the folds."""
    for fold, data in result.folds.items() if result.source in CLIPS else ():
        for part, published in zip(("training", "test"), CLIPS[result.source][fold - 1], strict=True):
            if (clips := len(data.parts[part])) != published:
                name = f"{part} ({clips} clips, {published} published)"
                result.insert("findings", "clips", "part", "not of the published size", name, fold)
    result.db.execute(QUESTIONS)
    if result.size is not None:
        for change in {change._replace(place="") for data in result.folds.values() for change in data.changes}:
            result.insert("findings", "frames", "clip", f"not as listed ({change.what})", change.clip, None)
        numbers = FRAMES.get(result.source, (1, 10**9))
        for finding in check_frames(dict(result.clips.values()), result.parts(), result.size, *numbers):
            result.insert("findings", *finding, None)
    found: dict[str, list[str]] = {topic: [] for topic in TOPICS}
    for topic, noun, what, folds, listed in result.db.execute(LINES):
        names = json.loads(listed)
        line = f"1 {noun} is" if len(names) == 1 else f"{len(names)} {noun}{'es' if noun[-1] == 's' else 's'} are"
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        where = f"fold{'s' * (', ' in str(folds))} {folds}: " if folds and len(result.folds) > 1 else ""
        found[topic].append(f"{where}{line} {what}: {', '.join(names[:MOST_NAMED])}{more}")
    return found


def page(result: Result, found: dict[str, list[str]], published: dict[str, float | None]) -> str:
    clips, sets = sum(len(data.test) for data in result.folds.values()), len(result.folds)
    answers, looked = result.answers(), "not looked at" if result.size is None else "looked at"
    predicted = sum(pairs.shape[1] for pairs in answers.values())
    text = f"# Audit\n\n{clips} test clips in {sets} test set{'s' * (sets > 1)}, {predicted} of them predicted; "
    text += f"frames {looked}.\n\n" + (score_table(answers, published) + "\n" if answers else "")
    lines = [f"- **{topic}**: {line}" for topic, lines in found.items() for line in lines] or ["Nothing."]
    missing = result.unchecked()
    unchecked = {topic for topics in missing for topic in topics.split(", ")}
    clean = [topic for topic, lines in found.items() if not lines and topic not in unchecked]
    lines += ["", f"Nothing found in: {', '.join(clean) or 'nothing'}."]
    for topics, why in missing.items():
        lines += ["", f"Not checked: {topics}; {why}."]
    options: dict[str, Any] = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
    return text + "## Found\n\n" + "".join(textwrap.fill(line, 80, **options) + "\n" for line in lines)


def score_table(answers: Mapping[int, Tensor], published: Mapping[str, float | None]) -> str:
    """Scores of each fold, of their mean and of all clips pooled; where published scores are in their intervals."""
    groups = {f"fold {fold}" if len(answers) > 1 else "test clips": [pairs] for fold, pairs in answers.items()}
    if len(answers) > 1:
        sets = [*answers.values()]
        groups |= {f"mean of {len(sets)} folds": sets, "all clips pooled": [torch.cat(sets, dim=1)]}
    rows, text = [], ""
    for name, group in groups.items():
        scores, drawn = [], []
        for number, (truths, found) in enumerate(group):
            every = [(truths == label).nonzero().T for label in truths.unique()]
            scores.append(resample(truths == found, every))
            drawn.append(resample(truths == found, draw_clips(truths, RESAMPLES, (0, number))))
        rows.append([name, str(sum(pairs.shape[1] for pairs in group))])
        for kind in ("uar", "war"):
            value = torch.stack([getattr(one, kind) for one in scores]).mean().item()
            low, high = interval(torch.stack([getattr(one, kind) for one in drawn]).mean(dim=0))
            rows[-1].append(with_interval(value, (low, high)))
            if (figure := published[kind]) is not None and len(group) == len(answers):
                verdict = "inside" if low <= figure / 100 <= high else "outside"
                text += f"\n{name}: {kind.upper()} differs by {100 * value - figure:+.2f} points from the published "
                text += f"{figure:.2f}, which is {verdict} the interval.\n"
    note = f"\nIn brackets: 95 % bootstrap intervals over clips, drawn within each class ({RESAMPLES} resamples).\n"
    return table(["", "clips", "UAR, %", "WAR, %"], rows) + note + text
