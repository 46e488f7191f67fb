"""Every public name of the tensor language: its family, its mark, and what checks it.

A name is checked by the OpInfo entries of PyTorch's test suite that bear it (all variants), by
those named in ``ELSEWHERE``, and by the written cases (``tests/opinfo/written``) that claim it.
Names are ``add`` (function and method alike, as PyTorch has them), ``Tensor.T`` (on tensors only),
``linalg.svd``; in-place twins and ``out=`` come with the name.
"""

from typing import NamedTuple


class Name(NamedTuple):
    """One name of the API; ``mark`` says how early it is wanted (A before B)."""

    name: str
    family: str
    mark: str


_A = {
    "creation": """
        tensor as_tensor from_numpy zeros ones empty full zeros_like ones_like empty_like full_like
        new_zeros new_ones new_empty new_full Tensor.new_tensor arange linspace logspace eye clone
        Tensor.detach rand randn randint randperm normal bernoulli multinomial rand_like randn_like
        randint_like Tensor.normal_ Tensor.uniform_ Tensor.random_ Tensor.exponential_ manual_seed
        Generator get_rng_state set_rng_state empty_strided new_empty_strided scalar_tensor""",
    "attributes": """
        Tensor.shape Tensor.size Tensor.dtype Tensor.device Tensor.ndim Tensor.dim numel
        Tensor.stride Tensor.storage_offset Tensor.is_contiguous T mT Tensor.data Tensor.grad
        Tensor.grad_fn Tensor.is_leaf Tensor.requires_grad Tensor.requires_grad_ Tensor.numpy
        Tensor.tolist item to Tensor.type float double half int long bool short byte char bfloat16
        Tensor.cpu Tensor.cuda Tensor.pin_memory Tensor.__array__ Tensor.__dlpack__ from_dlpack
        Tensor.__len__ Tensor.__iter__ Tensor.__bool__ Tensor.__int__ Tensor.__float__
        Tensor.__index__ Tensor.__repr__ Tensor.__format__ set_printoptions Tensor.__reduce_ex__
        Tensor.__deepcopy__ finfo iinfo promote_types result_type can_cast set_default_dtype
        get_default_dtype is_tensor is_floating_point Tensor.type_as Tensor.element_size
        Tensor.fill_ zero_ Tensor.copy_""",
    "shapes": """
        view reshape resize_ flatten unflatten squeeze unsqueeze transpose t permute movedim
        moveaxis swapaxes swapdims expand expand_as broadcast_to broadcast_tensors repeat
        repeat_interleave tile cat concat concatenate stack hstack vstack dstack chunk split
        tensor_split unbind narrow select unfold as_strided flip fliplr flipud roll rot90 diagonal
        diag diag_embed triu tril triu_indices tril_indices meshgrid contiguous view_as reshape_as
        ravel""",
    "indexing": """
        __getitem__ Tensor.__setitem__ gather scatter scatter_add scatter_reduce index_select
        index_add index_copy index_fill index_put masked_select masked_fill masked_scatter take
        take_along_dim nonzero argwhere where""",
    "pointwise": """
        abs absolute neg negative sign sqrt rsqrt square exp exp2 expm1 log log2 log10 log1p pow
        reciprocal sin cos tan asin arcsin acos arccos atan arctan atan2 arctan2 sinh cosh tanh
        asinh arcsinh acosh arccosh atanh arctanh ceil floor round trunc fix frac fmod remainder
        clamp clip clamp_min clamp_max sigmoid logit erf erfc erfinv lerp add sub subtract mul
        multiply div divide floor_divide true_divide addcmul addcdiv maximum minimum fmax fmin gt
        greater lt less ge greater_equal le less_equal eq ne not_equal isclose allclose equal isnan
        isinf isfinite logical_and logical_or logical_xor logical_not bitwise_and bitwise_or
        bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift nan_to_num copysign hypot
        logaddexp logaddexp2 heaviside sinc deg2rad rad2deg gcd lcm lgamma digamma xlogy rsub
        positive __radd__ __rdiv__ __rmul__ __rand__ __ror__ __rxor__ __rmod__ __rpow__ __rsub__""",
    "reductions": """
        sum mean prod max min amax amin aminmax argmax argmin all any median nanmedian mode quantile
        nansum nanmean std var std_mean var_mean norm dist cdist logsumexp cumsum cumprod cummax
        cummin logcumsumexp diff topk sort argsort kthvalue unique unique_consecutive searchsorted
        bucketize bincount histc count_nonzero softmax log_softmax""",
    "linalg": """
        mm bmm matmul mv dot inner outer vdot cross addmm addmv addr addbmm baddbmm einsum tensordot
        kron trace inverse det slogdet svd matrix_power chain_matmul __rmatmul__ linalg.norm
        linalg.vector_norm linalg.matrix_norm linalg.inv linalg.solve linalg.cholesky linalg.qr
        linalg.svd linalg.svdvals linalg.eigh linalg.eigvalsh linalg.lstsq linalg.pinv linalg.det
        linalg.slogdet linalg.matrix_rank linalg.multi_dot linalg.cond linalg.solve_triangular""",
    "autograd": """
        Tensor.backward autograd.backward autograd.grad no_grad enable_grad set_grad_enabled
        is_grad_enabled inference_mode Tensor.detach_ Tensor.retain_grad Tensor.register_hook
        autograd.Function autograd.gradcheck autograd.gradgradcheck""",
}

_B = {
    "autograd": """
        autograd.functional.jacobian autograd.functional.hessian autograd.functional.vjp
        autograd.functional.jvp autograd.detect_anomaly autograd.set_detect_anomaly
        utils.checkpoint.checkpoint func.grad func.vjp func.vmap func.functional_call""",
}

# Of ``nn.functional``.
_FUNCTIONAL = {
    "activations": """
        celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu
        relu relu6 rrelu selu silu softmin softplus softshrink softsign tanhshrink threshold""",
    "losses": """
        binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy
        ctc_loss gaussian_nll_loss hinge_embedding_loss huber_loss kl_div l1_loss
        linear_cross_entropy margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss
        multilabel_soft_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss
        triplet_margin_loss triplet_margin_with_distance_loss""",
    "normalisation": """
        alpha_dropout batch_norm dropout dropout2d dropout3d feature_alpha_dropout group_norm
        instance_norm layer_norm local_response_norm normalize rms_norm""",
    "vectors": """
        bilinear cosine_similarity embedding embedding_bag linear one_hot pairwise_distance pdist
        scaled_dot_product_attention""",
    "convolutions": """
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d unfold""",
    "pools": """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
        adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d
        fractional_max_pool2d fractional_max_pool3d max_pool1d max_pool2d max_pool3d max_unpool1d
        max_unpool2d max_unpool3d""",
    "images": """
        channel_shuffle grid_sample interpolate pad pixel_shuffle pixel_unshuffle upsample_bilinear
        upsample_nearest""",
}

NAMES: tuple[Name, ...] = tuple(
    Name(f"{place}{name}", family, mark)
    for mark, place, table in (
        ("A", "", _A), ("B", "", _B), ("A", "nn.functional.", _FUNCTIONAL),
    )
    for family, text in table.items()
    for name in text.split()
)  # fmt: skip

# Names whose OpInfo goes by another name. Aliases that OpInfo itself knows need no line.
ELSEWHERE = {
    "Tensor.fill_": "fill",
    "Tensor.uniform_": "uniform",
    "Tensor.exponential_": "exponential",
    "inverse": "linalg.inv",
    "det": "linalg.det",
    "slogdet": "linalg.slogdet",
    "matrix_power": "linalg.matrix_power",
    "clip": "clamp",
}

# How many of the samples, which all try the same flags, are compiled: each ends in the middle of a
# program, because the shape of its result depends on values.
SLOW = {"unique": 10, "unique_consecutive": 10}

# Draws: only their form is compared here; the written cases look at their distribution.
RANDOM = frozenset("""
    rand randn randint rand_like randn_like randint_like normal bernoulli multinomial uniform
    exponential empty empty_like new_empty empty_strided new_empty_strided randperm cauchy geometric
    log_normal empty_permuted nn.functional.alpha_dropout nn.functional.feature_alpha_dropout
    nn.functional.rrelu nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d
    nn.functional.fractional_max_pool2d nn.functional.fractional_max_pool3d
    """.split())  # fmt: skip

# Results that are unique up to a sign or a rotation: OpInfo says which part of them is defined.
GAUGE = frozenset("svd linalg.svd linalg.eigh linalg.eig svd_lowrank pca_lowrank".split())

# Which of equal elements comes first is left open by PyTorch: inputs are made free of them.
UNTIED = frozenset("sort argsort msort topk kthvalue".split())

# The strides of the result are documented, also where it is new memory.
STRIDED = frozenset("""
    empty_like zeros_like ones_like full_like rand_like randn_like clone contiguous empty_strided
    new_empty_strided as_strided
    """.split())  # fmt: skip

# PyTorch 2.13 writes past the end of an ``out=`` of another dtype or other strides here.
PLAIN_OUT = frozenset("triu tril linalg.lu lu_unpack nn.functional.avg_pool3d".split())

# Multiples of PyTorch's tolerances, for algorithms that round differently on either side.
LOOSE: dict[str, float] = {
    "matmul": 4.0,  # sums of ten products in another order
    "cdist": 100.0,  # squares subtracted from squares
    "special.bessel_j0": 100.0,  # PyTorch's rational functions have six digits there
    "special.bessel_y1": 100.0,
    "addbmm": 50.0,  # PyTorch rounds to 16 bits after every matrix of the batch
    "nn.functional.scaled_dot_product_attention": 4.0,  # exponentials of numbers up to 200
    # A bias is added to sums that have been rounded to 16 bits; sums have another order.
    "nn.functional.conv1d": 4.0,
    "nn.functional.conv2d": 16.0,
    "nn.functional.conv3d": 32.0,
    "nn.functional.conv_transpose1d": 16.0,
    "nn.functional.conv_transpose2d": 16.0,
    "nn.functional.conv_transpose3d": 32.0,
}
