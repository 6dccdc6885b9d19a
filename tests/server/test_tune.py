"""`make tune` on real servers: a trial's server has its change, and load on it is measured."""

import tritonclient.grpc as grpcclient

from builders.spec import load_sku
from builders.tune.change import Change
from builders.tune.load import SliceLoad
from builders.tune.objective import parse
from builders.tune.order import parse_clients
from builders.tune.trial_server import TrialServers

CHANGES = (Change("embedder", "instances", 2), Change("embedder", "num_threads", 1))
LIMITS = parse("embed:p99<1s rerank:p99<1s llm:ttft_p99<1s llm:itl_p99<1s rag:ttft_p99<1s")


def test_each_workload_is_measured_on_a_server_with_the_change(tmp_path):
    load = SliceLoad(LIMITS, parse_clients("embed=2 rerank=1 llm=2 rag=1"), slice_s=0.1)
    with TrialServers(load_sku("cpu"), tmp_path) as servers:
        running = servers.with_changes(CHANGES)
        with grpcclient.InferenceServerClient(running.url) as client:
            served = client.get_model_config("embedder").config
        assert served.instance_group[0].count == 2
        assert served.parameters["num_threads"].string_value == "1"
        assert servers.with_changes(CHANGES) is running, "asked again, it is the same"
        for seed, workload in enumerate(("embed", "rerank", "llm", "rag")):
            found = load.measure(workload, running.url, seed)
            assert found.failed == 0
            assert found.work_per_s > 0
            assert all(found.timings_s), "each limit has its timings"
    assert [path.name for path in tmp_path.iterdir()] == ["tritonserver-1.log"]
