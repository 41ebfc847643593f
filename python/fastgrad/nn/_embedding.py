"""Lookups in tables: embedding and one_hot."""
import fastgrad
from fastgrad import _C
from fastgrad._overrides import native_case


@native_case(_C.embedding, "weight input", padding_idx=None, max_norm=None, norm_type=..., scale_grad_by_freq=False,
             sparse=False)
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """The rows of `weight` at the indices of `input`."""
    if sparse:
        raise NotImplementedError("embedding: sparse=True is not supported (gradients are dense)")
    if padding_idx is None:
        padding_idx = -1
    else:
        rows = weight.size(0)
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    if max_norm is not None:
        renorm_rows(weight, input, max_norm, norm_type)
    return _C.embedding(weight, input, padding_idx, scale_grad_by_freq)


def renorm_rows(weight, indices, max_norm, norm_type):
    """Scales the used rows down to `max_norm`, in place."""
    with fastgrad.no_grad():
        used = indices.reshape(-1)  # a row that is used twice is written twice, with the same values
        rows = weight[used]
        norms = rows.norm(norm_type, 1, keepdim=True)
        weight[used] = fastgrad.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)


def one_hot(tensor, num_classes=-1):
    """Indices as rows that are 1 at the index and 0 elsewhere."""
    if tensor.dtype != fastgrad.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return fastgrad.zeros(*tensor.shape, num_classes, dtype=fastgrad.int64, device=tensor.device)
    if int(tensor.min()) < 0:
        raise RuntimeError("Class values must be non-negative.")
    largest = int(tensor.max())
    if num_classes == -1:
        num_classes = largest + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif largest >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    result = fastgrad.zeros(*tensor.shape, num_classes, dtype=fastgrad.int64, device=tensor.device)
    return result.scatter_(-1, tensor.unsqueeze(-1), 1)
