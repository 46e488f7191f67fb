"""Examples of every distribution, built by the same words of either library."""

from typing import Any

EXAMPLES: dict[str, list[Any]] = {}


def example(*names: str) -> Any:
    def register(build: Any) -> Any:
        for name in names:
            EXAMPLES.setdefault(name, []).append(build)
        return build

    return register


def tensor(t: Any, *values: Any, dtype: str = "float64") -> Any:
    return t.tensor(list(values), dtype=getattr(t, dtype))


def _add(name: str, *builds: Any) -> None:
    EXAMPLES[name] = list(builds)


def matrix(t: Any) -> Any:
    return t.tensor([[2.0, 0.3, 0.1], [0.3, 1.5, -0.4], [0.1, -0.4, 0.8]], dtype=t.float64)


def factor(t: Any) -> Any:
    return t.tensor([[1.2, 0.0, 0.0], [0.3, 0.9, 0.0], [-0.5, 0.2, 0.6]], dtype=t.float64)


def location(name: str) -> None:
    _add(
        name,
        lambda t, d: getattr(d, name)(tensor(t, -0.7, 0.2, 3.0), tensor(t, 0.4, 1.0, 2.5)),
        lambda t, d: getattr(d, name)(0.3, 1.7),
        lambda t, d: getattr(d, name)(tensor(t, [0.5], [1.5]), tensor(t, 0.4, 1.0)),
    )


for _name in ("Normal", "Laplace", "Cauchy", "Gumbel", "LogNormal"):
    location(_name)
for _name in ("Gamma", "InverseGamma", "Beta", "Kumaraswamy", "FisherSnedecor", "Weibull"):
    _add(
        _name,
        lambda t, d, n=_name: getattr(d, n)(tensor(t, 0.7, 2.2, 6.0), tensor(t, 1.3, 5.0, 9.5)),
        lambda t, d, n=_name: getattr(d, n)(2.5, 1.5),
        lambda t, d, n=_name: getattr(d, n)(tensor(t, [1.5], [3.5]), 4.5),
    )
for _name in ("Exponential", "Chi2", "HalfNormal", "HalfCauchy", "Poisson"):
    _add(
        _name,
        lambda t, d, n=_name: getattr(d, n)(tensor(t, 0.6, 1.0, 4.5)),
        lambda t, d, n=_name: getattr(d, n)(2.0),
    )
for _name in ("Bernoulli", "ContinuousBernoulli", "Geometric"):
    _add(
        _name,
        lambda t, d, n=_name: getattr(d, n)(tensor(t, 0.1, 0.5, 0.75)),
        lambda t, d, n=_name: getattr(d, n)(logits=tensor(t, [-2.0, 0.0], [0.3, 3.0])),
        lambda t, d, n=_name: getattr(d, n)(0.3),
    )
for _name in ("Categorical", "OneHotCategorical", "OneHotCategoricalStraightThrough"):
    _add(
        _name,
        lambda t, d, n=_name: getattr(d, n)(tensor(t, [0.1, 0.4, 0.5], [0.2, 0.2, 0.6])),
        lambda t, d, n=_name: getattr(d, n)(logits=tensor(t, -1.0, 0.5, 2.0)),
    )
_add(
    "Uniform",
    lambda t, d: d.Uniform(tensor(t, 0.1, -1.0, 0.0), tensor(t, 0.9, 2.0, 3.0)),
    lambda t, d: d.Uniform(1.0, 1.5),
)
_add(
    "Pareto",
    lambda t, d: d.Pareto(tensor(t, 0.5, 1.0, 2.0), tensor(t, 0.8, 1.5, 4.0)),
    lambda t, d: d.Pareto(1.0, 3.0),
)
_add(
    "GeneralizedPareto",
    lambda t, d: d.GeneralizedPareto(  # PyTorch's takes no other dtype
        t.tensor([0.0, 1.0, -1.0]), t.tensor([1.0, 2.0, 0.5]), t.tensor([0.2, -0.4, 0.0])
    ),
)
_add(
    "StudentT",
    lambda t, d: d.StudentT(
        tensor(t, 0.8, 1.5, 7.0), tensor(t, 0.0, 1.0, -2.0), tensor(t, 1.0, 2.0, 0.5)
    ),
    lambda t, d: d.StudentT(4.0),
)
_add(
    "VonMises",
    lambda t, d: d.VonMises(tensor(t, 0.0, 1.0, -2.0), tensor(t, 0.3, 2.0, 40.0)),
)
_add(
    "Dirichlet",
    lambda t, d: d.Dirichlet(tensor(t, [0.5, 1.5, 3.0], [2.0, 1.0, 4.0])),
    lambda t, d: d.Dirichlet(tensor(t, 0.5, 0.4, 0.9)),
)
_add(
    "Binomial",
    lambda t, d: d.Binomial(6, tensor(t, 0.1, 0.5, 0.8)),
    lambda t, d: d.Binomial(tensor(t, 3.0, 3.0), logits=tensor(t, -1.0, 2.0)),
)
_add(
    "NegativeBinomial",
    lambda t, d: d.NegativeBinomial(tensor(t, 2.0, 5.0, 0.5), tensor(t, 0.1, 0.5, 0.8)),
    lambda t, d: d.NegativeBinomial(4, logits=tensor(t, -1.0, 1.0)),
)
_add(
    "Multinomial",
    lambda t, d: d.Multinomial(5, tensor(t, [0.1, 0.4, 0.5], [0.2, 0.2, 0.6])),
    lambda t, d: d.Multinomial(3, logits=tensor(t, -1.0, 0.5, 2.0)),
)
_add(
    "MultivariateNormal",
    lambda t, d: d.MultivariateNormal(tensor(t, 0.5, -1.0, 2.0), matrix(t)),
    lambda t, d: d.MultivariateNormal(
        tensor(t, [0.5, -1.0, 2.0], [0.0, 1.0, 0.0]), scale_tril=factor(t)
    ),
    lambda t, d: d.MultivariateNormal(
        tensor(t, 0.0, 1.0, 0.0), precision_matrix=t.stack([matrix(t), matrix(t) * 2])
    ),
)
_add(
    "LowRankMultivariateNormal",
    lambda t, d: d.LowRankMultivariateNormal(
        tensor(t, 0.5, -1.0, 2.0), tensor(t, [1.0], [0.5], [-0.3]), tensor(t, 0.5, 1.0, 2.0)
    ),
    lambda t, d: d.LowRankMultivariateNormal(
        tensor(t, [0.5, -1.0, 2.0], [0.1, 0.0, 1.0]),
        factor(t)[:, :2],
        tensor(t, 0.5, 1.0, 2.0),
    ),
)
_add(
    "Wishart",
    lambda t, d: d.Wishart(tensor(t, 4.5, 7.0), matrix(t)),
    lambda t, d: d.Wishart(5.0, scale_tril=factor(t)),
    lambda t, d: d.Wishart(tensor(t, 5.0), precision_matrix=t.stack([matrix(t)])),
)
_add(
    "LKJCholesky",
    lambda t, d: d.LKJCholesky(3, tensor(t, 0.5, 1.0, 3.0)),
    lambda t, d: d.LKJCholesky(2, 1.5),
)
_add(
    "LogisticNormal",
    lambda t, d: d.LogisticNormal(tensor(t, [0.5, -1.0], [0.1, 0.0]), tensor(t, 0.5, 1.0)),
)
_add(
    "RelaxedBernoulli",
    lambda t, d: d.RelaxedBernoulli(tensor(t, 0.7)[0], tensor(t, 0.1, 0.5, 0.8)),
    lambda t, d: d.RelaxedBernoulli(tensor(t, 0.7)[0], logits=tensor(t, -1.0, 2.0)),
)
_add(
    "RelaxedOneHotCategorical",
    lambda t, d: d.RelaxedOneHotCategorical(tensor(t, 0.7)[0], tensor(t, 0.1, 0.4, 0.5)),
    lambda t, d: d.RelaxedOneHotCategorical(
        tensor(t, 2.0)[0], logits=tensor(t, [-1.0, 0.5, 2.0], [0.0, 1.0, 0.0])
    ),
)
_add(
    "Independent",
    lambda t, d: d.Independent(EXAMPLES["Normal"][2](t, d), 1),
    lambda t, d: d.Independent(EXAMPLES["Bernoulli"][1](t, d), 2),
    lambda t, d: d.Independent(EXAMPLES["Gamma"][0](t, d), 0),
)
_add(
    "MixtureSameFamily",
    lambda t, d: d.MixtureSameFamily(
        d.Categorical(tensor(t, 0.2, 0.3, 0.5)), EXAMPLES["Normal"][0](t, d)
    ),
    lambda t, d: d.MixtureSameFamily(
        d.Categorical(tensor(t, [0.2, 0.8], [0.5, 0.5])),
        d.Independent(d.Normal(t.arange(12.0).reshape(2, 2, 3).double(), 1.5), 1),
    ),
)
_add(
    "TransformedDistribution",
    lambda t, d: d.TransformedDistribution(
        EXAMPLES["Normal"][0](t, d), [d.AffineTransform(1.0, -2.0), d.SigmoidTransform()]
    ),
    lambda t, d: d.TransformedDistribution(
        EXAMPLES["Uniform"][1](t, d).expand([3]),
        [d.ExpTransform(), d.AffineTransform(tensor(t, 1.0, 2.0, 3.0), 0.5, 1)],
    ),
    lambda t, d: d.TransformedDistribution(EXAMPLES["Normal"][0](t, d), []),
)

CASES = [(name, number) for name, builds in EXAMPLES.items() for number in range(len(builds))]
IDS = [f"{name}-{number}" for name, number in CASES]
