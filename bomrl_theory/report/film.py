"""A film of a robot as a strip of pictures on a page, and as an animation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bomrl_theory.errors import InvalidFile
from bomrl_theory.report.figures import BLUE, GREEN, INK, ORANGE, PAGE_WIDTH, PURPLE, new_figure, styled
from bomrl_theory.tasks.files import replacing

if TYPE_CHECKING:
    from bomrl_theory.control.locomotion.film import Film

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
WINDOW_S = 0.5
"""Velocities are means over so long: within a stride they swing."""


@styled
def draw_film_strip(film: Film, path: Path, *, title: str = "", columns: int = 6) -> None:
    """A row of pictures for each task, and below the velocities in time with their goals; PNG or PDF.

    Raises:
        InvalidFile: the place cannot be written.
    """
    T, K = film.pictures.shape[:2]
    chosen = np.unique(np.linspace(0, K - 1, columns).round().astype(int))
    ratio = film.pictures.shape[2] / film.pictures.shape[3]
    cell = PAGE_WIDTH / len(chosen)
    figure = new_figure(PAGE_WIDTH, T * (cell * ratio + 0.3) + 2.4)
    parts: Any = figure.subfigures(2, 1, height_ratios=[T * (cell * ratio + 0.3), 2.1])
    rows, below = parts
    window = round(WINDOW_S / film.dt)
    axes = rows.subplots(T, len(chosen), squeeze=False)
    for task in range(T):
        for place, (picture, cellaxes) in enumerate(zip(chosen, axes[task], strict=True)):
            cellaxes.imshow(film.pictures[task, picture])
            cellaxes.set(xticks=[], yticks=[])
            cellaxes.spines[:].set_visible(True)
            cellaxes.spines[:].set_color(COLOURS[task % len(COLOURS)])
            step = int(film.steps[picture])
            told = f"{step * film.dt:.1f} s, {_signed(film.velocity(task, max(0, step - window), step))} m/s"
            if step > film.steps_taken[task]:
                told = f"ended at {film.steps_taken[task] * film.dt:.2f} s"
            cellaxes.set_title(told, fontsize=8, fontweight="normal", loc="center", pad=3)
            if place == 0:
                cellaxes.set_ylabel(_goal(film, task), color=COLOURS[task % len(COLOURS)], fontweight="bold")
    curve = below.subplots()
    for task in range(T):
        colour = COLOURS[task % len(COLOURS)]
        last = int(film.steps_taken[task])
        ends = range(min(window, last), last + 1)
        curve.plot(
            [end * film.dt for end in ends],
            [film.velocity(task, max(0, end - window), end) for end in ends],
            color=colour,
            label=f"{_goal(film, task)}" + ("" if last == film.position.shape[1] - 1 else ", ended"),
        )
        if film.aim == "velocity":
            curve.axhline(film.goals[task], color=colour, linestyle="--", linewidth=1)
    if film.aim == "direction":
        curve.axhline(0, color=INK, linewidth=0.7)
    curve.set(
        xlabel="time in s",
        ylabel=f"velocity in m/s,\nmean of {WINDOW_S:g} s",
        xlim=(0, film.dt * (film.position.shape[1] - 1)),
    )
    curve.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title or film.name, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def save_animation(film: Film, path: Path) -> None:
    """All tasks one above the other in real time, each picture with time, goal and velocity; GIF or WebP.

    Raises:
        InvalidFile: another ending, or the place cannot be written.
    """
    if path.suffix not in (".gif", ".webp"):
        raise InvalidFile(f"{path}: unknown ending '{path.suffix}' of an animation; use .gif or .webp")
    font = ImageFont.load_default(size=max(12, film.pictures.shape[2] // 20))
    window, frames = round(WINDOW_S / film.dt), []
    for picture, step in enumerate(film.steps.tolist()):
        frame = Image.fromarray(np.concatenate(film.pictures[:, picture]))
        pen = ImageDraw.Draw(frame)
        for task in range(len(film.goals)):
            velocity = film.velocity(task, max(0, step - window), step)
            ended = ", ended" if step > film.steps_taken[task] else ""
            text = f"{step * film.dt:.1f} s, {_goal(film, task)}, velocity {_signed(velocity)} m/s{ended}"
            place = (8, 6 + task * film.pictures.shape[2])
            pen.text(place, text, font=font, fill="white", stroke_width=2, stroke_fill="black")
        frames.append(frame)
    pause = round(1000 * film.dt * float(film.steps[1] - film.steps[0])) if len(film.steps) > 1 else 1000
    with replacing(path) as temporary:
        frames[0].save(temporary, save_all=True, append_images=frames[1:], duration=pause, loop=0)


def _signed(number: float) -> str:
    return f"{number:+.1f}".replace("-", "−")


def _goal(film: Film, task: int) -> str:
    goal = float(film.goals[task])
    if film.aim == "velocity":
        return f"goal {goal:.1f} m/s"
    return "goal: forwards" if goal > 0 else "goal: backwards"
