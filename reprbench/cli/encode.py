"""``reprbench encode``: the features that a trial's fitted learner makes of image files."""

from __future__ import annotations

from pathlib import Path

import click

from reprbench.cli.command import Command
from reprbench.cli.echo import echo
from reprbench.cli.options import PLUGIN, STORE
from reprbench.errors import UserError


@click.command(cls=Command)
@click.argument("trial")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .npy file to write."
)
@click.option(
    "--layers",
    default="last",
    show_default=True,
    metavar="last|all|NAME,…",
    help="The layers whose features are taken.",
)
@click.option(
    "--pooling", type=click.Choice(["max", "mean", "sum", "l2"]), default="max", show_default=True,
    help="What becomes of the numbers of a cell of a map.",
)  # fmt: skip
@click.option("--grid", type=click.IntRange(1), default=2, show_default=True, help="Cells along each side of a map.")
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda|cuda:N", help="Where to compute.")
@STORE
@PLUGIN
def command(
    trial: str,
    images: tuple[Path, ...],
    output: Path,
    layers: str,
    pooling: str,
    grid: int,
    device: str,
    store: Path,
    plugins: tuple[Path, ...],
) -> None:
    """Encode image files with the fitted learner of TRIAL: a folder (quick/ae), label, path, or beginning of a hash.

    The images are cropped to the square in their middle and resized to the size of the trial's images. One row of the
    matrix in the file, float32, belongs to each image, in order.
    """
    from reprbench.api.stores import LoadedStore
    from reprbench.arrays import npy_header
    from reprbench.features import View
    from reprbench.files import write_output

    if output.suffix != ".npy":
        raise UserError(f"-o {output}: expected a file that ends with .npy")
    chosen = layers if layers in ("last", "all") else tuple(layers.split(","))
    view = View.model_validate({"layers": chosen, "pooling": pooling, "grid": grid})
    found = LoadedStore(store, plugins=plugins).trial(trial)
    matrix = found.encode(images, view, device)
    write_output(output, npy_header(matrix.shape, matrix.dtype) + matrix.tobytes())
    channels, height, width = found.record.dataset.shape
    count, size = matrix.shape
    echo(f"wrote {output}: {count} × {size} features of images of {channels}×{height}×{width}", err=True)
