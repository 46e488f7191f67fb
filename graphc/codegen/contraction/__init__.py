"""Contractions (matrix products, convolutions) as C.

``operands`` finds strides, ``halo`` removes masks, ``tiling`` chooses a schedule, ``frame`` holds
what was chosen, and ``packing``, ``tiles`` and ``loops`` turn it into ``views`` for the templates.
"""

from collections.abc import Callable

from graphc.codegen.contraction.loops import view
from graphc.codegen.contraction.plans import SERIAL_WORK, Plan, Vectors
from graphc.codegen.statements import Statements
from graphc.codegen.views import NestText
from graphc.kernel import Contraction

__all__ = ["SERIAL_WORK", "Plan", "Vectors", "text", "view"]


def text(
    nest: Contraction, statements: Statements, fill: Callable[..., str], kernel: str
) -> NestText:
    """A contraction as text; ``fill`` renders a template by name.

    Its functions are named after the ``kernel``, with two underscores, since several kernels may be
    compiled together.

    Raises ValueError when the epilogue holds loops or reductions.
    """
    expressions = statements.expressions
    made = view(nest, statements, f"{kernel}__{nest.accumulator}_tile")
    folder = expressions.dialect.folder
    return NestText(
        fill(f"{folder}/{made.template}.j2", nest=made),
        declarations=tuple(fill(f"{folder}/contraction_tile.j2", tile=tile) for tile in made.tiles),
        includes=made.includes,
        shared_bytes=made.shared_bytes,
        own_bytes=made.own_bytes,
        alone=made.serial,
    )
