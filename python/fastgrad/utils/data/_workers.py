"""Batches prepared by worker processes.

Every worker has a queue of index lists; all answer into one queue. Batch k is made by worker k mod n, so the order does
not depend on which worker is faster: answers that come early wait. Errors travel as text and are raised here.
"""
import itertools
import multiprocessing
import queue
import random
import sys
import traceback

import fastgrad

from . import dataloader
from .sampler import random_seed


class WorkerInfo:
    """What `get_worker_info()` returns."""

    def __init__(self, id, num_workers, seed, dataset):
        self.id = id
        self.num_workers = num_workers
        self.seed = seed
        self.dataset = dataset

    def __repr__(self):
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, dataset={self.dataset})"


class _Failure:
    """An exception of a worker."""

    def __init__(self, worker):
        kind, _, _ = sys.exc_info()
        self.kind = kind
        self.text = (f"Caught {kind.__name__} in DataLoader worker process {worker}.\n"
                     f"Original {traceback.format_exc()}")

    def reraise(self):
        """Raises it again, in its own class where that takes a text."""
        if self.kind is KeyError:
            raise KeyError(_Lines(self.text))
        try:
            error = self.kind(self.text)
        except Exception:
            error = RuntimeError(self.text)
        raise error


class _Lines(str):
    """A string whose repr keeps its lines: KeyError prints the repr."""

    __repr__ = str.__str__


class _Seeds:
    """The generator of a worker, as torch seeds it."""

    @staticmethod
    def start(base_seed, worker):
        seed = base_seed + worker
        random.seed(seed)
        fastgrad.manual_seed(seed)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            words = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
            numpy.random.seed(numpy.random.SeedSequence(words).generate_state(4))
        return seed


def _work(loader, worker, base_seed, requests, answers):
    try:
        fastgrad.set_num_threads(1)
        seed = _Seeds.start(base_seed, worker)
        dataloader._worker_info = WorkerInfo(worker, loader.num_workers, seed, loader.dataset)
        if loader.worker_init_fn is not None:
            loader.worker_init_fn(worker)
        fetch, broken = dataloader.make_fetch(loader), None
    except Exception:
        fetch, broken = None, _Failure(worker)
    while True:
        request = requests.get()
        if request is None:
            return
        number, indices = request
        if indices == "restart":
            fetch = dataloader.make_fetch(loader) if broken is None else None
            continue
        try:
            answer = broken or (number, fetch(indices), False)
        except StopIteration:
            answer = (number, None, True)
        except Exception:
            answer = _Failure(worker)
        answers.put((number, answer, False) if isinstance(answer, _Failure) else answer)


class WorkerIterator:
    """One pass over the data, made by worker processes."""

    def __init__(self, loader):
        self._loader = loader
        context = loader.multiprocessing_context
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self._indices = iter(loader._index_sampler)
        self._base_seed = random_seed(loader.generator)
        self._pin = loader.pin_memory and fastgrad.cuda.is_initialized()
        self._answers = context.Queue()
        self._requests = [context.Queue() for _ in range(loader.num_workers)]
        self._workers = []
        for i, requests in enumerate(self._requests):
            worker = context.Process(target=_work, args=(loader, i, self._base_seed, requests, self._answers),
                                     daemon=True)
            worker.start()
            self._workers.append(worker)
        self._start()

    def _start(self):
        self._sent = self._wanted = self._yielded = 0
        self._early = {}
        self._place = {}                       # number of a request: its worker
        self._turns = itertools.cycle(range(len(self._workers)))
        self._ended = set()                    # workers whose iterable dataset is at its end
        for _ in range(self._loader.prefetch_factor * len(self._workers)):
            self._request()

    def restart(self):
        """Starts the next pass with the same workers."""
        while self._wanted < self._sent:
            self._receive(self._wanted)
            self._wanted += 1
        self._indices = iter(self._loader._index_sampler)
        random_seed(self._loader.generator)
        for requests in self._requests:
            requests.put((None, "restart"))
        self._start()

    def _request(self):
        if len(self._ended) == len(self._workers):
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        worker = next(self._turns)
        while worker in self._ended:
            worker = next(self._turns)
        self._place[self._sent] = worker
        self._requests[worker].put((self._sent, indices))
        self._sent += 1

    def _receive(self, number):
        while number not in self._early:
            timeout = self._loader.timeout or 5.0
            try:
                answered, data, ended = self._answers.get(timeout=timeout)
                self._early[answered] = data, ended
            except queue.Empty:
                dead = [worker for worker in self._workers if not worker.is_alive()]
                if dead:
                    pids = ", ".join(str(worker.pid) for worker in dead)
                    raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from None
                if self._loader.timeout:
                    raise RuntimeError(f"DataLoader timed out after {self._loader.timeout} seconds") from None
        return self._early.pop(number)

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._loader._index_sampler)

    def __next__(self):
        while self._wanted < self._sent:
            number = self._wanted
            data, ended = self._receive(number)
            self._wanted += 1
            worker = self._place.pop(number)
            if ended:
                self._ended.add(worker)
            self._request()
            if isinstance(data, _Failure):
                data.reraise()
            if not ended:
                self._yielded += 1
                dataloader.warn_if_longer(self._loader, self._yielded)
                return dataloader.pin(data) if self._pin else data
        if not self._loader.persistent_workers:
            self._stop()
        raise StopIteration

    def _stop(self):
        workers, self._workers = self._workers, []
        for requests in self._requests if workers else ():
            requests.put(None)
        for worker in workers:
            worker.join(timeout=5)
            if worker.is_alive():
                worker.terminate()

    def __del__(self):
        try:
            self._stop()
        except Exception:
            pass  # at the end of the interpreter the queues may be gone
