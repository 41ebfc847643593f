"""Datasets, samplers and the loader: order and batches as torch's."""
import collections

import numpy
import pytest

import fastgrad as fg
from fastgrad.utils import data


class Squares(data.Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        return {"x": fg.tensor([float(index)]), "y": index * index, "z": (str(index), float(index))}


class Counting(data.IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        info = data.get_worker_info()
        step, start = (1, 0) if info is None else (info.num_workers, info.id)
        return iter(range(start, self.count, step))


class Broken(Squares):
    def __getitem__(self, index):
        if index == 3:
            raise ValueError("bad sample")
        return super().__getitem__(index)


def pairs(library, count):
    return library.utils.data.TensorDataset(library.arange(count), library.arange(count) * 10)


@pytest.mark.parametrize("options", [
    {}, {"shuffle": True}, {"shuffle": True, "batch_size": 3}, {"shuffle": True, "batch_size": 4, "drop_last": True},
    {"batch_size": None}, {"batch_size": 5}], ids=str)
@pytest.mark.parametrize("own_generator", [False, True])
def test_order_is_torch_s(torch, options, own_generator):
    results = []
    for library in (fg, torch):
        library.manual_seed(7)
        generator = library.Generator() if own_generator else None
        if own_generator:
            generator.manual_seed(11)
        loader = library.utils.data.DataLoader(pairs(library, 10), generator=generator, **options)
        seen = [[[column.tolist() for column in batch] for batch in loader] for _ in range(3)]
        seen += [len(loader), library.rand(3, generator=generator).tolist(), library.rand(2).tolist()]
        results.append(seen)
    assert results[0] == results[1]


@pytest.mark.parametrize("name, args", [
    ("RandomSampler", {}), ("RandomSampler", {"replacement": True, "num_samples": 70}),
    ("RandomSampler", {"num_samples": 25}), ("SubsetRandomSampler", {}), ("SequentialSampler", {}),
    ("DistributedSampler", {"num_replicas": 3, "rank": 1}),
    ("DistributedSampler", {"num_replicas": 3, "rank": 2, "drop_last": True}),
    ("DistributedSampler", {"num_replicas": 4, "rank": 0, "shuffle": False})], ids=str)
def test_samplers(torch, name, args):
    results = []
    for library in (fg, torch):
        library.manual_seed(3)
        sampler = getattr(library.utils.data, name)(range(10), **args)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(2)
        results.append([list(sampler), list(sampler), len(sampler), library.rand(1).item()])
    assert results[0] == results[1]


@pytest.mark.parametrize("replacement", [True, False])
def test_weighted_sampler(torch, replacement):
    results = []
    for library in (fg, torch):
        library.manual_seed(3)
        results.append(list(library.utils.data.WeightedRandomSampler([0.1, 0.5, 0.2, 0.9, 0.3], 4, replacement)))
    assert results[0] == results[1]


@pytest.mark.parametrize("lengths", [[3, 7], [0.5, 0.25, 0.25], [0.3, 0.7]])
def test_random_split(torch, lengths):
    results = []
    for library in (fg, torch):
        library.manual_seed(5)
        parts = library.utils.data.random_split(range(10), lengths)
        results.append([list(part.indices) for part in parts])
    assert results[0] == results[1]
    with pytest.raises(ValueError, match="Sum of input lengths does not equal the length of the input dataset!"):
        data.random_split(range(10), [3, 3])


def test_batches():
    batch = next(iter(data.DataLoader(Squares(6), batch_size=3)))
    assert batch["x"].tolist() == [[0.0], [1.0], [2.0]] and batch["y"].tolist() == [0, 1, 4]
    assert batch["z"][0] == ("0", "1", "2") and batch["z"][1].dtype == fg.float64
    subset = data.Subset(data.TensorDataset(fg.arange(10), fg.arange(10) * 2), [5, 3, 1])
    (batch,) = data.DataLoader(subset, batch_size=3)
    assert isinstance(batch, list) and [column.tolist() for column in batch] == [[5, 3, 1], [10, 6, 2]]
    loader = data.DataLoader(Squares(6), batch_sampler=[[0, 1], [5]])
    assert [batch["y"].tolist() for batch in loader] == [[0, 1], [25]]
    loader = data.DataLoader(Squares(4), batch_size=2, collate_fn=lambda samples: [s["y"] for s in samples])
    assert list(loader) == [[0, 1], [4, 9]]


def test_collate():
    Point = collections.namedtuple("Point", "x y")
    points = data.default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert type(points) is Point and points.x.tolist() == [1, 3] and points.y.dtype == fg.float64
    assert [t.tolist() for t in data.default_collate([[1, 2], [3, 4]])] == [[1, 3], [2, 4]]
    assert data.default_collate([True, False]).tolist() == [True, False]
    assert data.default_collate(["a", "b"]) == ["a", "b"]
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="batch must contain tensors, numpy arrays, numbers, dicts or lists; found"):
        data.default_collate([object()])
    made = data.default_collate([numpy.ones(2, "float32"), numpy.zeros(2, "float32")])
    assert made.dtype == fg.float32 and made.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert data.default_collate([numpy.float32(1), numpy.float32(2)]).dtype == fg.float32
    assert data.default_convert({"a": numpy.ones(1)})["a"].dtype == fg.float64


def test_datasets():
    joined = Squares(3) + Squares(2)
    assert len(joined) == 5 and joined[3]["y"] == 0 and joined[-1]["y"] == 1
    with pytest.raises(ValueError, match="absolute value of index should not exceed dataset length"):
        joined[-9]
    stacked = data.StackDataset(a=[1, 2], b=[3, 4])
    assert stacked[1] == {"a": 2, "b": 4} and data.StackDataset([1, 2], [3, 4])[0] == (1, 3)
    chained = Counting(2) + Counting(3)
    assert list(chained) == [0, 1, 0, 1, 2]
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        data.TensorDataset(fg.zeros(2), fg.zeros(3))
    with pytest.raises(NotImplementedError):
        data.Dataset()[0]


def test_iterable():
    assert [batch.tolist() for batch in data.DataLoader(Counting(5), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in data.DataLoader(Counting(5), batch_size=2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(data.DataLoader(Counting(3), batch_size=None)) == [0, 1, 2]
    with pytest.raises(ValueError, match="expected unspecified shuffle option, but got shuffle=True"):
        data.DataLoader(Counting(3), shuffle=True)


def test_iterable_is_abstract(torch):
    for library in (fg, torch):
        with pytest.raises(TypeError, match="abstract"):
            library.utils.data.IterableDataset()


def test_errors():
    with pytest.raises(ValueError, match="sampler option is mutually exclusive with shuffle"):
        data.DataLoader([1], shuffle=True, sampler=[0])
    with pytest.raises(ValueError, match="batch_size should be a positive integer value, but got batch_size=0"):
        data.DataLoader([1], batch_size=0)
    with pytest.raises(ValueError, match="num_workers option should be non-negative"):
        data.DataLoader([1], num_workers=-1)
    with pytest.raises(ValueError, match="batch_sampler option is mutually exclusive"):
        data.DataLoader([1], batch_size=2, batch_sampler=[[0]])
    loader = data.DataLoader([1])
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 2
    with pytest.raises(ValueError, match="num_samples should be a positive integer value, but got num_samples=0"):
        data.RandomSampler([])


def test_workers():
    loader = data.DataLoader(Squares(7), batch_size=2, num_workers=2)
    assert [batch["y"].tolist() for batch in loader] == [[0, 1], [4, 9], [16, 25], [36]]
    assert [batch["y"].tolist() for batch in loader] == [[0, 1], [4, 9], [16, 25], [36]]
    loader = data.DataLoader(Counting(5), batch_size=2, num_workers=2)
    assert sorted(value for batch in loader for value in batch.tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0(.|\n)*bad sample"):
        list(data.DataLoader(Broken(4), batch_size=4, num_workers=1))
    loader = data.DataLoader(Squares(4), batch_size=2, num_workers=1, persistent_workers=True)
    for _ in range(2):
        assert [batch["y"].tolist() for batch in loader] == [[0, 1], [4, 9]]
    iterator = iter(data.DataLoader(Squares(50), num_workers=1))
    next(iterator)
    del iterator
