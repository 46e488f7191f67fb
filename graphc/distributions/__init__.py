"""Probability distributions: sampling, log probabilities, and gradients through both.

Everything works in compiled functions. There, shapes are checked, and values (``validate_args``)
are not.
"""

from graphc.distributions import constraints, kl, transforms
from graphc.distributions.bernoulli import Bernoulli
from graphc.distributions.beta import Beta
from graphc.distributions.binomial import Binomial
from graphc.distributions.categorical import Categorical
from graphc.distributions.cauchy import Cauchy
from graphc.distributions.chi2 import Chi2
from graphc.distributions.constraint_registry import biject_to, transform_to
from graphc.distributions.continuous_bernoulli import ContinuousBernoulli
from graphc.distributions.dirichlet import Dirichlet
from graphc.distributions.distribution import Distribution
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.exponential import Exponential
from graphc.distributions.fishersnedecor import FisherSnedecor
from graphc.distributions.gamma import Gamma
from graphc.distributions.generalized_pareto import GeneralizedPareto
from graphc.distributions.geometric import Geometric
from graphc.distributions.gumbel import Gumbel
from graphc.distributions.half_cauchy import HalfCauchy
from graphc.distributions.half_normal import HalfNormal
from graphc.distributions.independent import Independent
from graphc.distributions.inverse_gamma import InverseGamma
from graphc.distributions.kl import kl_divergence, register_kl
from graphc.distributions.kumaraswamy import Kumaraswamy
from graphc.distributions.laplace import Laplace
from graphc.distributions.lkj_cholesky import LKJCholesky
from graphc.distributions.log_normal import LogNormal
from graphc.distributions.logistic_normal import LogisticNormal
from graphc.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from graphc.distributions.mixture_same_family import MixtureSameFamily
from graphc.distributions.multinomial import Multinomial
from graphc.distributions.multivariate_normal import MultivariateNormal
from graphc.distributions.negative_binomial import NegativeBinomial
from graphc.distributions.normal import Normal
from graphc.distributions.one_hot_categorical import (
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)
from graphc.distributions.pareto import Pareto
from graphc.distributions.poisson import Poisson
from graphc.distributions.relaxed_bernoulli import RelaxedBernoulli
from graphc.distributions.relaxed_categorical import RelaxedOneHotCategorical
from graphc.distributions.studentT import StudentT
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from graphc.distributions.uniform import Uniform
from graphc.distributions.von_mises import VonMises
from graphc.distributions.weibull import Weibull
from graphc.distributions.wishart import Wishart

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "CatTransform",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "ContinuousBernoulli",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "ExponentialFamily",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "IndependentTransform",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "LowerCholeskyTransform",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
    "biject_to",
    "constraints",
    "identity_transform",
    "kl",
    "kl_divergence",
    "register_kl",
    "transform_to",
    "transforms",
]
