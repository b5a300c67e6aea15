"""Paint faces as soft-edged signed-distance shapes, back to front, all frames of a batch at once.

Coordinates run from -1 to 1, x to the right and y downwards. Every number below is in these units.
"""

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from dfer.rendering.identity import Identity, Scene
from dfer.rendering.motion import Motion


def _ellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """Signed distance to an ellipse, negative inside; exact to first order at the edge."""
    x, y = x / rx, y / ry
    radius = (x * x + y * y).sqrt()
    slope = ((x / rx).square() + (y / ry).square()).sqrt().clamp(min=1e-6)
    return radius * (radius - 1) / slope


class _Canvas:
    """An image (N, 3, H, W) to paint on; `soft` is the width of an edge."""

    def __init__(self, ground: Tensor, soft: float) -> None:
        self.image, self.soft = ground, soft

    def cover(self, distance: Tensor, blur: float = 1.0) -> Tensor:
        return torch.sigmoid(distance / (-self.soft * blur))

    def paint(self, colour: Tensor, cover: Tensor) -> None:
        """Blend `colour` (N, 3, 1, 1) or (N, 3, H, W) into the image with the weights `cover` (N, H, W)."""
        self.image = torch.lerp(self.image, colour, cover[:, None])


def _colour(red_green_blue: Sequence[float]) -> Tensor:
    return torch.tensor(red_green_blue).view(1, 3, 1, 1)


class _Painter:
    """Paints one batch of frames. Attributes are reshaped to (N, 1, 1), colours to (N, 3, 1, 1)."""

    def __init__(self, person: Identity, scene: Scene, motion: Motion, time: Tensor, size: int) -> None:
        def column(rows: Identity | Scene | Motion) -> dict[str, Tensor]:
            entries = {f.name: getattr(rows, f.name) for f in fields(rows)}
            return {k: v[:, None, None] if v.ndim == 1 else v[:, :, None, None] for k, v in entries.items()}

        self.who, self.scene, self.does = column(person), column(scene), column(motion)
        axis = (torch.arange(size) + 0.5) * (2 / size) - 1
        self.page_x, self.page_y = axis[None, None, :], axis[None, :, None]
        self.time = time[:, None, None]

        does = self.does
        cos, sin = torch.cos(does["roll"]), torch.sin(does["roll"])
        x, y = self.page_x - does["shift_x"], self.page_y - does["shift_y"] - 0.06
        self.x = (cos * x + sin * y) / does["scale"]
        self.y = (cos * y - sin * x) / does["scale"]
        # Turning the head moves the features further than the outline.
        self.face_x = self.x - 0.16 * does["yaw"]
        self.face_y = self.y - 0.14 * does["pitch"]
        self.canvas = _Canvas(self._wall(), 0.5 * 2 / size)

    def _wall(self) -> Tensor:
        glow = torch.exp(-((self.page_x - self.scene["light_x"]).square() + (self.page_y + 0.4).square()))
        return self.scene["wall"] * (0.72 + 0.4 * glow[:, None])

    def _skin(self, depth: float = 1.0) -> Tensor:
        """Skin of a dome as wide as the head, lit from one side."""
        who, scene = self.who, self.scene
        lit = scene["light_x"] * self.x / who["width"] + scene["light_y"] * self.y / who["height"]
        rim = (self.x / who["width"]).square() + (self.y / who["height"]).square()
        light = 0.98 + 0.22 * lit - 0.16 * rim.clamp(max=1.3)
        return who["skin"] * (depth * light)[:, None]

    def _head_distance(self, grow: float = 0.0) -> Tensor:
        who = self.who
        narrow = 1 - who["jaw"] * self.y.clamp(min=0) ** 1.5
        drop = 0.10 * self.does["jaw"] * (self.y > 0)
        return _ellipse(self.x / narrow, self.y, who["width"] + grow, who["height"] + grow + drop)

    def body(self) -> None:
        who, canvas, y = self.who, self.canvas, self.y
        behind = _ellipse(self.x, y - 0.22, who["width"] + 0.16, 1.12)
        canvas.paint(who["hair"] * 0.75, canvas.cover(behind) * who["long_hair"])
        shirt = _ellipse(self.x, y - 1.32, 1.05, 0.52)
        neck = torch.maximum(self.x.abs() - 0.30, 0.2 - y)
        canvas.paint(self._skin(0.72), canvas.cover(neck))
        canvas.paint(who["shirt"], canvas.cover(shirt))
        for side in (-1, 1):
            ear = _ellipse(self.x - side * (who["width"] + 0.01), y - 0.02, 0.075, 0.15)
            canvas.paint(self._skin(0.9), canvas.cover(ear) * (1 - 0.8 * who["long_hair"]))

    def head(self) -> None:
        who, does, canvas = self.who, self.does, self.canvas
        head = canvas.cover(self._head_distance())
        canvas.paint(self._skin(), head)
        blush = torch.exp(-((self.face_x.abs() - 0.34).square() + (self.face_y - 0.2).square()) / 0.02)
        canvas.paint(who["skin"] * _colour((1.0, 0.72, 0.70)), 0.35 * blush * head)
        stubble = canvas.cover(-_ellipse(self.face_x, self.face_y - 0.10, 0.50, 0.36), 5) * canvas.cover(
            0.16 - self.face_y, 6
        )
        canvas.paint(who["hair"], stubble * head * who["beard"])
        # A smile or a wrinkled nose deepens the nasolabial folds.
        fold_depth = (0.5 * does["corners"].clamp(min=0) + 0.5 * does["wrinkle"].clamp(min=0)).clamp(max=1)
        slant = 0.17 + 0.42 * (self.face_y - 0.16)
        fold = (self.face_x.abs() - slant).abs() + 2 * (self.face_y - 0.27).abs().sub(0.10).clamp(min=0)
        canvas.paint(self._skin(0.62), canvas.cover(fold - 0.012) * fold_depth * 0.8)

    def eyes(self) -> None:
        who, does, canvas = self.who, self.does, self.canvas
        lash = who["hair"] * 0.25
        for side in (-1, 1):
            u = (self.face_x - side * who["eye_gap"]) / who["eye_size"]
            v = (self.face_y + 0.06) / who["eye_size"]
            bow = (1 - u * u).clamp(min=-2)
            upper = -0.52 * does["lids"] * bow
            # The lower lid rises as the upper one falls: a squint, not a sleepy eye.
            lower = (0.36 - 0.22 * (1 - does["lids"]).clamp(0, 1)) * bow * does["lids"].clamp(max=1).sqrt()
            socket = torch.exp(-(u.square() + 1.6 * (v + 0.15).square()) / 1.3)
            canvas.paint(self._skin(0.74), 0.45 * socket)
            inside = torch.maximum(upper - v, v - lower) * who["eye_size"]
            opening = canvas.cover(inside, 0.8) * canvas.cover((u.abs() - 1) * who["eye_size"])
            canvas.paint(_colour((0.96, 0.95, 0.93)), opening)
            iris_u, iris_v = u - 0.32 * does["gaze"] - 0.2 * does["yaw"], v + 0.03
            canvas.paint(who["iris"], opening * canvas.cover(_ellipse(iris_u, iris_v, 0.46, 0.46) * who["eye_size"]))
            pupil = canvas.cover(_ellipse(iris_u, iris_v, 0.22, 0.22) * who["eye_size"])
            canvas.paint(_colour((0.04, 0.03, 0.03)), opening * pupil)
            glint = canvas.cover(_ellipse(iris_u - 0.14, iris_v + 0.16, 0.11, 0.11) * who["eye_size"])
            canvas.paint(_colour((1.0, 1.0, 1.0)), 0.9 * opening * glint)
            along = canvas.cover((u.abs() - 1.03) * who["eye_size"])
            canvas.paint(lash, along * canvas.cover((v - upper).abs() * who["eye_size"] - 0.014))
            canvas.paint(self._skin(0.6), 0.6 * along * canvas.cover((v - lower).abs() * who["eye_size"] - 0.006))

    def brows(self) -> None:
        who, does, canvas = self.who, self.does, self.canvas
        for side in (-1, 1):
            inwards = 0.045 * does["frown"]
            u = side * (self.face_x - side * (who["eye_gap"] + 0.015 - inwards)) / (who["eye_size"] * 1.25)
            # u runs from -1 at the nose to 1 at the temple.
            raise_brow = 0.5 * (does["inner_brow"] * (1 - u) + does["outer_brow"] * (1 + u))
            centre = -0.275 - 0.11 * raise_brow - 0.035 * (1 - u * u)
            thickness = who["brow_thickness"] * (1 - 0.35 * u.clamp(-1, 1))
            band = torch.maximum((self.face_y - centre).abs() - thickness, (u.abs() - 1) * who["eye_size"] * 1.25)
            canvas.paint(who["hair"] * 0.35, 0.95 * canvas.cover(band))
        line = (self.face_x.abs() - 0.035).abs() + 2 * (self.face_y + 0.24).abs().sub(0.045).clamp(min=0)
        canvas.paint(self._skin(0.62), 0.6 * canvas.cover(line - 0.008, 1.5) * does["frown"].clamp(0, 1))

    def nose(self) -> None:
        who, does, canvas = self.who, self.does, self.canvas
        x = self.face_x - 0.05 * does["yaw"]
        tip = who["nose_length"] - 0.035 * does["wrinkle"].clamp(min=0) - 0.02
        side_x = torch.where(self.scene["light_x"] > 0, x + 0.055, x - 0.055)
        flank = torch.exp(-(side_x / 0.035).square()) * canvas.cover((self.face_y - tip / 2).abs() - tip / 2, 3)
        canvas.paint(self._skin(0.70), 0.5 * flank)
        bulb = _ellipse(x, self.face_y - tip, who["nose_width"], 0.06)
        canvas.paint(self._skin(1.10), 0.55 * canvas.cover(bulb, 2))
        under = _ellipse(x, self.face_y - tip - 0.062, who["nose_width"], 0.022)
        canvas.paint(self._skin(0.60), 0.7 * canvas.cover(under))
        for side in (-1, 1):
            nostril = _ellipse(x - side * who["nose_width"] * 0.55, self.face_y - tip - 0.045, 0.026, 0.016)
            canvas.paint(who["skin"] * 0.28, 0.9 * canvas.cover(nostril))
        ridges = torch.sin((self.face_y + 0.13 + 0.25 * x.abs()) * 68).clamp(min=0)
        bridge = torch.exp(-(x / 0.075).square() - ((self.face_y + 0.06) / 0.085).square())
        canvas.paint(self._skin(0.5), 0.9 * ridges * bridge * does["wrinkle"].clamp(0, 1.2))

    def mouth(self) -> None:
        who, does, canvas = self.who, self.does, self.canvas
        width = who["mouth_width"] * (1 + 0.32 * does["stretch"])
        u = self.face_x / width
        bow = (1 - u * u).clamp(min=-1)
        rest = 0.43 + 0.055 * does["corners"] - 0.02 * does["upper_lip"]
        seam = rest - 0.125 * does["corners"] * (u * u).clamp(max=1.5)
        top = seam - (0.012 * does["jaw"] + 0.075 * does["upper_lip"].clamp(min=0)) * bow
        bottom = seam + 0.235 * does["jaw"] * bow.clamp(min=0) ** 0.6
        fullness = (
            who["lip_fullness"]
            * (1 - 0.35 * does["jaw"])
            * (1 - 0.45 * (does["frown"] - does["inner_brow"]).clamp(0, 1))
        )
        cupid = 1 - 0.25 * torch.exp(-(u / 0.18).square())
        between = canvas.cover((u.abs() - 1) * width)
        colour = torch.lerp(who["skin"] * 0.82, who["skin"] * _colour((0.86, 0.46, 0.46)), who["lip_redness"][:, None])
        shape = bow.clamp(min=0).sqrt()
        upper_lip = torch.maximum(top - fullness * shape * cupid - self.face_y, self.face_y - top)
        lower_lip = torch.maximum(bottom - self.face_y, self.face_y - bottom - 1.25 * fullness * shape)
        canvas.paint(
            self._skin(0.66),
            0.5 * canvas.cover(_ellipse(self.face_x, self.face_y - bottom - 0.115, 0.12, 0.02), 2),
        )
        canvas.paint(colour * 0.86, between * canvas.cover(upper_lip))
        canvas.paint(colour, between * canvas.cover(lower_lip))
        opening = between * canvas.cover(torch.maximum(top - self.face_y, self.face_y - bottom), 0.7)
        gap = (bottom - top).clamp(min=0)
        parted = (gap / 0.02).clamp(max=1)
        canvas.paint(_colour((0.22, 0.05, 0.06)), opening * parted)
        tongue = _ellipse(self.face_x, self.face_y - rest - 0.20, 0.12, 0.07)
        canvas.paint(_colour((0.72, 0.30, 0.30)), opening * parted * canvas.cover(tongue, 2) * 0.8)
        teeth = canvas.cover(self.face_y - top - 0.075, 0.8)
        canvas.paint(_colour((0.95, 0.93, 0.89)), opening * parted * teeth)
        seam_line = canvas.cover((self.face_y - seam).abs() - 0.007) * between
        canvas.paint(colour * 0.40, seam_line * (1 - parted))

    def hair(self) -> None:
        who, canvas = self.who, self.canvas
        fringe = who["hairline"] + 0.5 * (self.x - who["parting"]).square()
        cap = torch.maximum(self._head_distance(0.07), self.y - fringe)
        strands = 1 + 0.06 * torch.sin(60 * self.x + 25 * self.y) * torch.sin(23 * self.x - 8 * self.y)
        gloss = 0.9 + 0.5 * torch.exp(
            -((self.y + 0.68).square() + (self.x - 0.3 * self.scene["light_x"]).square()) / 0.05
        )
        canvas.paint(who["hair"] * (strands * gloss)[:, None], canvas.cover(cap))
        beside = (self.x.abs() - who["width"] - 0.05).abs() - 0.10
        locks = torch.maximum(beside, _ellipse(self.x, self.y - 0.22, who["width"] + 0.16, 1.12))
        canvas.paint(who["hair"] * (strands * 0.9)[:, None], canvas.cover(locks) * who["long_hair"])

    def glasses(self) -> None:
        who, canvas = self.who, self.canvas
        frame = _colour((0.10, 0.10, 0.12))
        for side in (-1, 1):
            lens = _ellipse(
                self.face_x - side * who["eye_gap"],
                self.face_y + 0.05,
                who["eye_size"] * 1.5,
                who["eye_size"] * 1.25,
            )
            canvas.paint(_colour((0.85, 0.92, 1.0)), 0.12 * canvas.cover(lens) * who["glasses"])
            canvas.paint(frame, canvas.cover(lens.abs() - 0.014) * who["glasses"])
        bridge = torch.maximum(
            (self.face_y + 0.08).abs() - 0.012, self.face_x.abs() - (who["eye_gap"] - 1.5 * who["eye_size"])
        )
        canvas.paint(frame, canvas.cover(bridge) * who["glasses"])

    def occluder(self) -> None:
        """A blurred object between camera and face."""
        scene, canvas = self.scene, self.canvas
        x = self.page_x - scene["occluder_x"] - scene["occluder_speed"] * (self.time - 0.5)
        y = self.page_y - scene["occluder_y"]
        blob = _ellipse(x, y, scene["occluder_size"], scene["occluder_size"] * 1.5)
        canvas.paint(scene["wall"].flip(1) * 0.55, canvas.cover(blob, 2.5) * scene["occluder"])

    def exposure(self) -> Tensor:
        warmth = self.scene["warmth"]
        tint = torch.stack([1 + warmth, torch.ones_like(warmth), 1 - warmth], dim=1)
        return (self.canvas.image * tint * self.scene["brightness"][:, None]).clamp(0, 1)


def paint_faces(person: Identity, scene: Scene, motion: Motion, time: Tensor, size: int) -> Tensor:
    """Paint N frames, (N, 3, size, size) from 0 to 1, from the N rows of each argument."""
    painter = _Painter(person, scene, motion, time, size)
    painter.body()
    painter.head()
    painter.eyes()
    painter.brows()
    painter.nose()
    painter.mouth()
    painter.hair()
    painter.glasses()
    painter.occluder()
    return painter.exposure()
