"""What is read from the server and the kernel, on made-up texts and on this very process."""

import os
import socket
import unittest

from endurance import sample

METRICS = """# HELP ws_slots_used Connections.
# TYPE ws_slots_used gauge
ws_slots_used 17
process_cpu_seconds_total 1.25
ws_connections_closed_total{reason="peer_closed"} 12
ws_connections_closed_total{reason="peer_gone"} 0
ws_process_info{pid="1",version="0.1.0"} 1
ws_heartbeat_rtt_seconds_bucket{le="0.0001"} 3
# EOF
"""

RING = """pos:	0
ino:	4711
CQEs:	0
UserFiles:	4
    0: socket:[31]
    1: <none>
    2: socket:[33]
    3: <none>
UserBufs:	0
PollList:
  op=27, task_works=0
  op=13, task_works=0
  op=27, task_works=0
CqOverflowList:
"""


class Read(unittest.TestCase):
    """One source each."""

    def test_metrics_are_found_by_name_and_label(self):
        found = sample.parse_metrics(METRICS)
        self.assertEqual(found["ws_slots_used"], 17)
        self.assertEqual(found["process_cpu_seconds_total"], 1.25)
        self.assertEqual(found["ws_connections_closed_total", "peer_closed"], 12)
        self.assertNotIn("ws_process_info", found)

    def test_a_metric_that_is_missing_is_an_error_and_no_zero(self):
        whole = {name: 1.0 for name in sample.GAUGES.values()}
        whole |= {(name, "x"): 2.0 for name in sample.FAMILIES.values()}
        self.assertEqual(sample.of_metrics(whole)["closed.x"], 2)
        for name in whole:
            with self.assertRaises(KeyError):
                sample.of_metrics({key: value for key, value in whole.items() if key != name})

    def test_memory_is_in_bytes(self):
        rollup = "Rss:     10 kB\nPss:      7 kB\nPss_Anon: 1 kB\nAnonymous:     4 kB\nAnonHugePages: 0 kB\n"
        self.assertEqual(sample.parse_memory(rollup), {"rss": 10240, "pss": 7168, "anonymous": 4096})
        self.assertGreater(sample.memory(os.getpid())["rss"], 1 << 20)

    def test_a_ring_tells_its_sockets_and_what_waits(self):
        self.assertEqual(sample.parse_ring(RING), (4711, {"files": 2, "waiting": 3}))

    def test_a_descriptor_more_is_one_more(self):
        before = sample.descriptors(os.getpid())["descriptors"]
        with open(os.devnull, encoding="ascii"):
            self.assertEqual(sample.descriptors(os.getpid())["descriptors"], before + 1)

    def test_a_socket_in_close_wait_is_seen_until_it_is_closed(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            client = socket.create_connection(("127.0.0.1", port))
            served, _ = listener.accept()
            self.assertEqual(sample.sockets(os.getpid(), port), {"close_wait": 0})
            client.close()
            # The FIN is here once a read has seen it.
            self.assertEqual(served.recv(1), b"")
            self.assertEqual(sample.sockets(os.getpid(), port), {"close_wait": 1})
            served.close()
            self.assertEqual(sample.sockets(os.getpid(), port), {"close_wait": 0})


if __name__ == "__main__":
    unittest.main()
