"""Records of complex ops between real tensors: parts in, parts out, so that the generic tests see real numbers.

Complex inputs of all other records are tested in test_complex.py. Only the CPU has complex kernels.
"""

import numpy as np

from op_record import Op, Sample

FLOATS = ("float32", "float64")


def on_parts(function):
    def call(m, re, im):
        device = re.device
        if re.dtype == m.float16:  # torch has complex32
            re, im = re.float(), im.float()
        result = function(m, m.complex(re.cpu(), im.cpu()))
        return (m.view_as_real(result) if result.is_complex() else result).to(device)

    return call


def pairs(z):
    return np.stack([z.real, z.imag], -1)


def sgn(z):
    size = np.abs(z)
    return z / np.where(size == 0, 1, size)


def record(name, function, ref, rows=(), domain=(-3.0, 3.0)):
    shapes = (((), ()), ((3,), (3,)), ((2, 1), (3,)), ((0, 2), (2,)))

    def samples(a):
        return [Sample(a(*one), a(*two)) for one, two in shapes]

    return Op(name, samples, lambda re, im: ref(re + 1j * im), on_parts(function), FLOATS, rows=rows, domain=domain)


COMPLEX = [
    record("complex", lambda m, z: z, pairs),
    record("complex_sgn", lambda m, z: m.sgn(z), lambda z: pairs(sgn(z)), ("sgn_complex",)),
    record("complex_conj", lambda m, z: m.conj_physical(z), lambda z: pairs(z.conj()), ("conj_complex",)),
    record("complex_abs", lambda m, z: z.abs(), np.abs),
    record("complex_angle", lambda m, z: m.angle(z), np.angle),
    record("complex_real", lambda m, z: z.real * 2, lambda z: z.real * 2),
    record("complex_imag", lambda m, z: z.imag * 2, lambda z: z.imag * 2),
    record("complex_exp", lambda m, z: z.exp(), lambda z: pairs(np.exp(z))),
    record("complex_product", lambda m, z: z * z.conj() * 2j, lambda z: pairs(z * z.conj() * 2j)),
    record(
        "polar", lambda m, z: m.polar(z.real, z.imag), lambda z: pairs(z.real * np.exp(1j * z.imag)), domain=(0.2, 2.0)
    ),
]
