"""DataLoader: batches of a dataset, in this process or prepared by worker processes (`_workers.py`)."""
import itertools

import fastgrad
from fastgrad._missing import Spelled

from .collate import default_collate, default_convert
from .dataset import IterableDataset, Subset, TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, random_seed

_FIXED = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"))

_worker_info = None


def get_worker_info():
    """In a worker process: its `id`, `num_workers`, `seed` and `dataset`; None elsewhere."""
    return _worker_info


class DataLoader(Spelled):
    """Iterates over a dataset in batches."""

    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None, num_workers=0,
                 collate_fn=None, pin_memory=False, drop_last=False, timeout=0, worker_init_fn=None,
                 multiprocessing_context=None, generator=None, *, prefetch_factor=None, persistent_workers=False,
                 pin_memory_device="", in_order=True):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value is not None:
                    raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, "
                                     f"but got {name}={value}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
                                 "drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if self._iterable:
                sampler = _Endless()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self._iterator = None
        self._reported_length = None
        self._initialized = True

    def __setattr__(self, name, value):
        if name in _FIXED and self.__dict__.get("_initialized"):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        object.__setattr__(self, name, value)

    def __class_getitem__(cls, parameters):
        return cls  # `DataLoader[int]` in annotations

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self):
        if self.num_workers == 0:
            return _Iterator(self)
        from ._workers import WorkerIterator
        if not self.persistent_workers:
            return WorkerIterator(self)
        if self._iterator is None:
            self._iterator = WorkerIterator(self)
        else:
            self._iterator.restart()
        return self._iterator

    def __len__(self):
        if not self._iterable:
            return len(self._index_sampler)
        length = self._reported_length = len(self.dataset)
        if self.batch_size is not None:
            length = length // self.batch_size if self.drop_last else -(-length // self.batch_size)
        return length


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, context):
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to "
                         "enable multiprocessing, otherwise set prefetch_factor to None.")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if context is not None:
        if num_workers == 0:
            raise ValueError("multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
                             f"but got num_workers={num_workers}")
        import multiprocessing
        methods = multiprocessing.get_all_start_methods()
        if isinstance(context, str) and context not in methods:
            raise ValueError("multiprocessing_context option should specify a valid start method in "
                             f"{methods!r}, but got multiprocessing_context={context!r}")


class _Endless:
    """The sampler of an iterable dataset: it ends when the dataset does."""

    def __iter__(self):
        return itertools.repeat(None)


class _Iterator:
    """One pass over the data, in this process."""

    def __init__(self, loader):
        self._loader = loader
        self._indices = iter(loader._index_sampler)
        # Drawn always, as torch does: it moves the generator.
        self._base_seed = random_seed(loader.generator)
        self._fetch = make_fetch(loader)
        self._pin = loader.pin_memory and fastgrad.cuda.is_initialized()
        self._yielded = 0

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._loader._index_sampler)

    def __next__(self):
        data = self._fetch(next(self._indices))
        if self._pin:
            data = pin(data)
        self._yielded += 1
        warn_if_longer(self._loader, self._yielded)
        return data


def warn_if_longer(loader, yielded):
    """Warns when an iterable dataset gives more than its `len` said."""
    if loader._reported_length is not None and yielded > loader._reported_length:
        import warnings
        warnings.warn(f"Length of IterableDataset {loader.dataset} was reported to be {loader._reported_length} (when "
                      f"accessing len(dataloader)), but {yielded} samples have been fetched. ", stacklevel=3)


def pin(data):
    """Tensors in page-locked memory, inside tuples, lists and dicts too."""
    if hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, dict):
        return type(data)({key: pin(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(pin(value) for value in data))
    if isinstance(data, (list, tuple)):
        return type(data)(pin(value) for value in data)
    return data


def make_fetch(loader):
    """The function that makes a batch of what the sampler gives."""
    dataset, collate = loader.dataset, loader.collate_fn
    if loader._iterable:
        return _fetch_from_iterable(loader)
    if not loader._auto_collation:
        return lambda index: collate(dataset[index])
    if collate is default_collate:
        whole_rows = _rows_of_tensors(dataset)
        if whole_rows is not None:
            return whole_rows
    if callable(getattr(dataset, "__getitems__", None)):
        return lambda indices: collate(dataset.__getitems__(indices))
    return lambda indices: collate([dataset[i] for i in indices])


def _rows_of_tensors(dataset):
    """For tensors, and subsets of them, a batch is one indexing operation for each tensor, not one for each sample."""
    subsets = []
    while type(dataset) is Subset:
        subsets.append(dataset.indices)
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None

    def fetch(indices):
        for chosen in subsets:
            indices = [chosen[i] for i in indices]
        index = fastgrad.tensor(indices, dtype=fastgrad.int64)
        return [tensor[index.to(tensor.device)] for tensor in dataset.tensors]

    return fetch


def _fetch_from_iterable(loader):
    samples, collate, drop_last = iter(loader.dataset), loader.collate_fn, loader.drop_last
    if not loader._auto_collation:
        return lambda index: collate(next(samples))

    def fetch(indices):
        batch = list(itertools.islice(samples, len(indices)))
        if not batch or (drop_last and len(batch) < len(indices)):
            raise StopIteration
        return collate(batch)

    return fetch
