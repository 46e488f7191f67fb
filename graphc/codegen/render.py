"""Kernels as source text."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from graphc.codegen import contraction
from graphc.codegen.alike import Use, uses
from graphc.codegen.components import separated
from graphc.codegen.dialect import Dialect
from graphc.codegen.expressions import Expressions
from graphc.codegen.layout import indented
from graphc.codegen.loops import LoopMaker
from graphc.codegen.nests import NestRenderer, names_of
from graphc.codegen.statements import Statements, plain
from graphc.codegen.templates import WORDS, TemplateView, template_view
from graphc.codegen.views import CallView, KernelView, NestText, NestView, ParamView
from graphc.kernel import (
    AnyNest,
    Call,
    Combine,
    Contraction,
    Kernel,
    Nest,
    Param,
    Phase,
    Reduction,
    Schedule,
    Skeleton,
    Template,
)
from graphc.resources import resources

if TYPE_CHECKING:
    import jinja2

_LINE = 64  # bytes of a cache line: no two nests write to the same one


@dataclass(frozen=True)
class Rendered:
    """A kernel's source, and the scratch memory that its callers must hand over.

    ``shared_bytes`` are for all threads together (a kernel of the same stage needs its own),
    ``own_bytes`` for each thread (the next kernel may use them again).
    """

    name: str
    text: str
    shared_bytes: int = 0
    own_bytes: int = 0
    alone: bool = False  # thread 0 does everything


@cache
def environment() -> "jinja2.Environment":
    """The templates; an undefined name in one is an error."""
    import jinja2  # here: programs that are read back are rendered already

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources("templates")),
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        optimized=False,  # folding constants takes longer than it saves
    )


def template_text(name: str, **values: object) -> str:
    """A template of ``templates/`` filled in; indentation comes later."""
    return environment().get_template(name).render(**values)


def render_kernel(
    kernel: Kernel, dialect: Dialect, name: str | None = None, line_directives: bool = False
) -> Rendered:
    """One kernel as a translation unit. ``name`` overrides the function's name."""
    return _render(kernel, dialect, name or kernel.name, line_directives, "kernel")


def _render(
    kernel: Kernel, dialect: Dialect, name: str, line_directives: bool, template: str
) -> Rendered:
    if any(isinstance(nest, Template) for nest in kernel.nests):
        dialect = replace(dialect, reserved=dialect.reserved | WORDS)
    if dialect.chunks:
        kernel = replace(kernel, nests=tuple(_apart_where_unrelated(kernel.nests)))
    expressions = Expressions.of(dialect, kernel.params)
    nests = _prepared(kernel, Statements(expressions, line_directives), name)
    alone = all(nest.alone for nest in nests)
    bodies: list[NestText] = []
    owner = 0
    for nest in nests:
        bodies.append(nest.text(None if alone or not nest.alone else owner))
        owner += nest.alone
    texts, shared_name, shared = _apart(bodies)
    own = max((body.own_bytes for body in bodies), default=0)
    params = [ParamView(declaration) for declaration in dialect.context]
    params += [_param(param, expressions) for param in kernel.params]
    params += [
        ParamView(f"const {dialect.index} {expressions.identifier(n)}") for n in kernel.sizes
    ]
    for scratch, size in ((shared_name, shared), ("own", own)):
        if size:
            params.append(ParamView(f"unsigned char *{dialect.restrict} {scratch}"))
    declarations = _unique(tuple(d for body in bodies for d in body.declarations))
    view = KernelView(
        name=name,
        params=tuple(params),
        bodies=tuple(texts),
        comments=tuple(plain(comment) for comment in kernel.comments),
        includes=_unique(
            (
                *dialect.includes,
                *(i for body in bodies for i in body.includes),
                *_on_demand((*texts, *declarations)),
            )
        ),
        declarations=declarations,
        alone=alone and dialect.chunks,
    )
    text = indented(template_text(f"{dialect.folder}/{template}.j2", kernel=view))
    return Rendered(view.name, text, shared, own, alone and dialect.chunks)


def _apart_where_unrelated(nests: Iterable[AnyNest]) -> Iterator[AnyNest]:
    for nest in nests:
        yield from separated(nest) if isinstance(nest, Nest) else (nest,)


# Headers that few kernels need, by the functions that ask for them.
_ON_DEMAND = {
    "gc_attention.h": re.compile(r"\bgc_attention_"),
    "gc_random.h": re.compile(r"\bgc_(random|uniform|normal)_"),
    "gc_sort.h": re.compile(r"\bgc_key_"),
}


def _on_demand(texts: Iterable[str]) -> tuple[str, ...]:
    together = "\n".join(texts)
    return tuple(header for header, calls in _ON_DEMAND.items() if calls.search(together))


@dataclass(frozen=True)
class Prepared:
    """A nest whose text waits for the number of the thread that runs it, if one alone does."""

    template: str
    view: NestView | TemplateView | CallView | None
    ready: NestText

    @property
    def alone(self) -> bool:
        return self.ready.alone

    def text(self, owner: int | None) -> NestText:
        if self.view is None:
            return self.ready
        filled = template_text(self.template, nest=replace(self.view, owner=owner))
        return replace(self.ready, text=filled if filled.endswith("\n") else f"{filled}\n")


def _prepared(kernel: Kernel, statements: Statements, name: str) -> list[Prepared]:
    result: list[Prepared] = []
    dialect = statements.expressions.dialect
    called = uses(kernel, name) if dialect.chunks else {}
    functions: dict[str, Rendered] = {}
    for number, nest in enumerate(kernel.nests):
        if number in called:
            use = called[number]
            if use.function.name not in functions:
                functions[use.function.name] = _render(
                    use.function, dialect, use.function.name, statements.line_directives, "each"
                )
            function = functions[use.function.name]
            result.append(_call(use, function, statements.expressions))
            continue
        if isinstance(nest, Contraction) and not dialect.chunks:
            nest = _as_sum(nest)
        if isinstance(nest, Template):
            rows, ready = template_view(nest, statements.expressions)
            result.append(Prepared(f"{dialect.folder}/{nest.name}.j2", rows, ready))
        elif isinstance(nest, Contraction):
            text = contraction.text(nest, statements, template_text, name)
            result.append(Prepared("", None, text))
        elif any(axis.extent == 0 for axis in nest.axes):
            result.append(Prepared("", None, NestText("/* no points */\n", alone=True)))
        else:
            maker = LoopMaker(statements.expressions, names_of(nest, kernel.params))
            renderer = NestRenderer(statements, maker)
            template, view = (renderer.on_cpu if dialect.chunks else renderer.on_gpu)(nest)
            alone = dialect.chunks and not view.shared and not view.parts
            ready = NestText("", shared_bytes=renderer.scratch_bytes, alone=alone)
            result.append(Prepared(f"{dialect.folder}/{template}.j2", view, ready))
    return result


def _call(use: Use, function: Rendered, expressions: Expressions) -> Prepared:
    """The call of a function instead of a nest."""
    arguments = ["t", *map(expressions.identifier, use.buffers)]
    arguments += map(expressions.integer, use.sizes)
    arguments += ["shared"] * bool(function.shared_bytes) + ["own"] * bool(function.own_bytes)
    ready = NestText(
        "",
        declarations=(function.text,),
        shared_bytes=function.shared_bytes,
        own_bytes=function.own_bytes,
        alone=function.alone,
    )
    view = CallView(f"{function.name}({', '.join(arguments)});")
    return Prepared("c/call.j2", view, ready)


def _apart(bodies: list[NestText]) -> tuple[list[str], str, int]:
    """The bodies, each with shared scratch of its own; its parameter's name, and its bytes."""
    users = [body for body in bodies if body.shared_bytes]
    if len(users) <= 1:
        return [b.text for b in bodies], "shared", sum(b.shared_bytes for b in users)
    offset = 0
    texts = []
    for body in bodies:
        text = body.text
        if body.shared_bytes:
            text = f"unsigned char *const shared = all_shared + {offset};\n{text}"
            offset += -(-body.shared_bytes // _LINE) * _LINE
        texts.append(text)
    return texts, "all_shared", offset


def _as_sum(nest: Contraction) -> Nest:
    """A contraction as one thread for each element: right, where no better template exists."""
    product = Call("({0} * {1})", (nest.lhs, nest.rhs), nest.dtype)
    phase = Phase(
        axes=nest.depth,
        body=(*nest.lhs_body, *nest.rhs_body),
        reductions=(Reduction(nest.accumulator, Combine.SUM, product, nest.dtype),),
        finals=nest.epilogue.body,
        final_stores=nest.epilogue.stores,
    )
    axes = (*nest.batch, *nest.rows, *nest.cols)
    return Nest(axes, (phase,), Schedule(Skeleton.COLUMNS, nest.work))


def _param(param: Param, expressions: Expressions) -> ParamView:
    dialect = expressions.dialect
    const = "" if param.written else "const "
    name = expressions.identifier(param.name)
    shape = ", ".join(str(size) for size in param.shape)
    return ParamView(
        f"{const}{dialect.storage(param.dtype)} *{dialect.restrict} {name}",
        f"{param.dtype.short}[{shape}]",
    )


def _unique(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
