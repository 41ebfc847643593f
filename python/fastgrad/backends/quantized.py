"""Quantized kernels are not there."""
engine = "none"
supported_engines = ["none"]
