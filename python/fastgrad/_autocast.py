"""Which functions written in Python work in float32 inside an autocast region on the CPU: torch's list.

`_overrides.publish` marks them, and their native wrappers (csrc/python/overrides.cpp) widen the arguments. Native
functions have the rule at their head (csrc/ops/autocast.h); cross_entropy and ctc_loss ask `_C._autocast_float`.
"""

FLOAT32 = frozenset("""
    cosine_embedding_loss hinge_embedding_loss kl_div l1_loss margin_ranking_loss multi_margin_loss
    multilabel_margin_loss poisson_nll_loss soft_margin_loss triplet_margin_loss

    grid_sample adaptive_avg_pool3d adaptive_max_pool3d adaptive_max_pool3d_with_indices fractional_max_pool2d
    fractional_max_pool2d_with_indices fractional_max_pool3d fractional_max_pool3d_with_indices max_pool3d
    max_pool3d_with_indices max_unpool2d max_unpool3d

    cdist nanquantile quantile stft trace

    cholesky cholesky_ex cholesky_inverse cholesky_solve cond eig eigh eigvals eigvalsh geqrf householder_product inv
    inv_ex inverse lstsq lu_solve matrix_rank orgqr ormqr pinverse qr solve svd svdvals tensorinv tensorsolve
    triangular_solve

    fft fft2 fftn hfft hfft2 hfftn ifft ifft2 ifftn ihfft ihfft2 ihfftn irfft irfft2 irfftn rfft rfft2 rfftn
    """.split())
