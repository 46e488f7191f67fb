"""Kernels as source text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import jinja2

from graphc.codegen import contraction
from graphc.codegen.dialect import Dialect
from graphc.codegen.expressions import Expressions
from graphc.codegen.layout import indented
from graphc.codegen.loops import LoopMaker
from graphc.codegen.nests import NestRenderer, names_of
from graphc.codegen.statements import Statements, plain
from graphc.codegen.views import KernelView, NestText, NestView, ParamView
from graphc.kernel import Contraction, Kernel, Nest, Param, Template
from graphc.resources import resources


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
def environment() -> jinja2.Environment:
    """The templates; an undefined name in one is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


def template_text(name: str, **values: object) -> str:
    """A template of ``templates/`` filled in; indentation comes later."""
    return environment().get_template(name).render(**values)


def render_kernel(
    kernel: Kernel, dialect: Dialect, name: str | None = None, line_directives: bool = False
) -> Rendered:
    """One kernel as a translation unit. ``name`` overrides the function's name."""
    expressions = Expressions.of(dialect, kernel.params)
    nests = _prepared(kernel, Statements(expressions, line_directives))
    alone = all(nest.alone for nest in nests)
    bodies: list[NestText] = []
    owner = 0
    for nest in nests:
        bodies.append(nest.text(None if alone or not nest.alone else owner))
        owner += nest.alone
    shared = max((body.shared_bytes for body in bodies), default=0)
    own = max((body.own_bytes for body in bodies), default=0)
    params = [ParamView(declaration) for declaration in dialect.context]
    params += [_param(param, expressions) for param in kernel.params]
    params += [
        ParamView(f"const {dialect.index} {expressions.identifier(n)}") for n in kernel.sizes
    ]
    for scratch, size in (("shared", shared), ("own", own)):
        if size:
            params.append(ParamView(f"unsigned char *{dialect.restrict} {scratch}"))
    view = KernelView(
        name=name or kernel.name,
        params=tuple(params),
        bodies=tuple(body.text for body in bodies),
        comments=tuple(plain(comment) for comment in kernel.comments),
        includes=_unique((*dialect.includes, *(i for body in bodies for i in body.includes))),
        declarations=_unique(tuple(d for body in bodies for d in body.declarations)),
        alone=alone and dialect.chunks,
    )
    text = indented(template_text(f"{dialect.folder}/kernel.j2", kernel=view))
    return Rendered(view.name, text, shared, own, alone and dialect.chunks)


@dataclass(frozen=True)
class Prepared:
    """A nest whose text waits for the number of the thread that runs it, if one alone does."""

    template: str
    view: NestView | None
    ready: NestText

    @property
    def alone(self) -> bool:
        return self.ready.alone

    def text(self, owner: int | None) -> NestText:
        if self.view is None:
            return self.ready
        filled = template_text(self.template, nest=replace(self.view, owner=owner))
        return replace(self.ready, text=filled)


def _prepared(kernel: Kernel, statements: Statements) -> list[Prepared]:
    result: list[Prepared] = []
    shared = 0
    dialect = statements.expressions.dialect
    for nest in kernel.nests:
        if not isinstance(nest, Nest):
            result.append(Prepared("", None, templated(nest, statements)))
        elif any(axis.extent == 0 for axis in nest.axes):
            result.append(Prepared("", None, NestText("/* no points */\n", alone=True)))
        else:
            template, view, shared = nest_view(nest, kernel.params, statements, shared)
            alone = dialect.chunks and not view.shared and not view.parts
            ready = NestText("", shared_bytes=shared, alone=alone)
            result.append(Prepared(f"{dialect.folder}/{template}.j2", view, ready))
    return result


def nest_view(
    nest: Nest, params: Sequence[Param], statements: Statements, shared: int
) -> tuple[str, NestView, int]:
    """Template, view and end of the shared scratch, which is taken up to ``shared`` bytes."""
    maker = LoopMaker(statements.expressions, names_of(nest, params))
    renderer = NestRenderer(statements, maker, shared)
    dialect = statements.expressions.dialect
    template, view = renderer.on_cpu(nest) if dialect.chunks else renderer.on_gpu(nest)
    return template, view, renderer.scratch_bytes


def templated(nest: Contraction | Template, statements: Statements) -> NestText:
    """Nests with templates of their own."""
    dialect = statements.expressions.dialect
    if isinstance(nest, Contraction) and dialect.chunks:
        return contraction.text(nest, statements, template_text)
    raise ValueError(f"{type(nest).__name__} has no {dialect.name} template")


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
