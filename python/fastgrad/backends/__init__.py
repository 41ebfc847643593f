"""Switches of the libraries that torch computes with. fastgrad has kernels of its own: the switches keep what they are
set to and change nothing but `cuda.matmul.allow_tf32` and the kinds of attention."""
from . import cpu, cuda, cudnn, mha, mkl, mkldnn, mps, nnpack, openmp, opt_einsum, quantized

fp32_precision = "none"
