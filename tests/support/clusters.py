"""Workers in other processes: Ray's own cluster, and a stand-in that sends everything through pickle in this one."""

import pickle
import warnings

import pytest

from harness.measure.executors.cluster import connect, imported
from harness.measure.executors.remote import Failed, Remote, pack
from harness.types import Scale

TWO = Scale(workers=2)
NICENESS = "RAY_worker_niceness"


@pytest.fixture(scope="module")
def cluster():
    """The cluster that the executor itself would start."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.delenv(NICENESS, raising=False)
        module = imported()
        warnings.simplefilter("ignore")
        connect(module, TWO, 1)
        yield module
        module.shutdown()


def carried(worker, lanes, stop, scale):
    """An executor of two workers that get nothing but bytes, as another process would, and take turns."""
    parcel = pickle.dumps(pack(worker, worker.store.read_json("plan.json")["key"]))
    hands = [Remote(lambda: pickle.loads(parcel)) for _ in range(2)]
    turn = 0
    for lane in lanes:
        for place, _ in enumerate(worker.units(lane)):
            done = hands[turn % 2].compute(lane, place, None)
            assert not isinstance(done, Failed), f"{done.message}\n{done.trace}"
            turn += 1
            yield done


__all__ = ["NICENESS", "TWO", "carried", "cluster"]
