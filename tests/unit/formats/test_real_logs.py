"""Real logs of Zeek and Suricata: counts and columns against csv and json, read without this code."""

import csv
import gzip
import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qwarden.formats import open_capture, survey
from qwarden.formats.flows import TCP_STATES, Flows, join_address

from . import craft

pytestmark = pytest.mark.data

CONN_LOGS = 15


@pytest.fixture(scope="module")
def folders(data_dir: Path) -> list[Path]:
    return [data_dir / "slips-dataset", data_dir / "zeek-labelled-stratosphere"]


@pytest.fixture(scope="module")
def conn_logs(folders: list[Path]) -> list[Path]:
    found = sorted(path for folder in folders for path in folder.rglob("*conn.log*"))
    assert len(found) == CONN_LOGS
    return found


def plain_records(path: Path) -> list[dict[str, Any]]:
    """The connections of a log as csv or json give them; unset fields left out."""
    text = gzip.decompress(path.read_bytes()).decode()
    body = [line for line in text.split("\n") if line and not line.strip().startswith("#")]
    if body[0].startswith("{"):
        return [json.loads(line, parse_float=Decimal) for line in body]
    names = next(line for line in text.split("\n") if line.startswith("#fields")).split("\t")[1:]
    rows = csv.DictReader(io.StringIO("\n".join(body)), names, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [{name: value for name, value in row.items() if value != "-"} for row in rows]


def test_logs_are_found_by_content_and_others_are_named(folders: list[Path], conn_logs: list[Path]) -> None:
    found = survey(folders)
    flows = [
        path for path in folders[0].iterdir() if path.name.endswith((".json.gz", ".binetflow.gz", ".nfdump"))
    ]
    assert len(flows) == 6
    notices = [path for folder in folders for path in folder.rglob("notice.log*")]
    leases = [path for folder in folders for path in folder.rglob("dhcp.log*")]
    said = [
        path for folder in folders for log in ("dns", "http", "ssl") for path in folder.rglob(f"{log}.log*")
    ]
    assert sorted(found.sources) == sorted([*conn_logs, *flows, *notices, *leases, *said])
    assert found.beside == set(said)
    read = {*conn_logs, *notices, *leases, *said}
    others = [path for folder in folders for path in folder.rglob("*.log*") if path not in read]
    assert sorted(path for path, _ in found.unread) == sorted(others)


def test_every_connection_is_a_flow_with_its_columns(conn_logs: list[Path]) -> None:
    for path in conn_logs:
        records = plain_records(path)
        flows, report = craft.read_file(path)
        lines = gzip.decompress(path.read_bytes()).count(b"\n")
        assert (len(flows), report.lines.flows, report.problems) == (len(records), len(records), []), path
        assert (report.lines.read, report.lines.malformed, report.complete) == (lines, 0, True), path
        assert_told(records, flows)


def assert_told(records: list[dict[str, Any]], flows: Flows) -> None:
    protocols = {"tcp": (6, 6), "udp": (17, 17), "icmp": (1, 58)}
    for record, flow in zip(records, flows, strict=True):
        start = int(flow["start_ns"])
        lasted = Decimal(record.get("duration", 0)) * 10**9
        # Some JSON times show seventeen digits of a binary fraction, whose steps are 238 ns.
        drift = 120 if len(str(record["ts"])) > 17 else Decimal("0.5")
        assert abs(start - Decimal(record["ts"]) * 10**9) <= drift
        assert abs(int(flow["end_ns"]) - start - lasted) <= Decimal("0.5")
        assert join_address(flow["src_hi"], flow["src_lo"]) == record["id.orig_h"]
        assert join_address(flow["dst_hi"], flow["dst_lo"]) == record["id.resp_h"]
        assert flow["proto"] == protocols[record["proto"]][":" in record["id.orig_h"]]
        if record["proto"] == "icmp":
            assert flow["icmp_type"] == int(record["id.orig_p"])
            assert (flow["src_port"], flow["dst_port"]) == (-1, -1)
        else:
            ports = int(record["id.orig_p"]), int(record["id.resp_p"])
            assert (flow["src_port"], flow["dst_port"]) == ports
        if record["proto"] == "tcp":
            assert TCP_STATES[flow["tcp_state"]] == record["conn_state"]
        for end, way in (("orig", "out"), ("resp", "in")):
            assert flow[f"packets_{way}"] == int(record[f"{end}_pkts"])
            assert flow[f"bytes_{way}"] == int(record[f"{end}_ip_bytes"])
            payload = int(record.get(f"{end}_bytes", -1))
            if flow[f"payload_{way}"] >= 0 and payload >= 0 and flow[f"packets_{way}"] > 0:
                assert flow[f"payload_{way}"] == payload
            if payload > int(record[f"{end}_ip_bytes"]) and flow[f"packets_{way}"] > 0:
                assert flow[f"payload_{way}"] == -1  # counted by sequence numbers, not seen


def test_suricata_s_events_are_counted_and_read(data_dir: Path) -> None:
    path = data_dir / "slips-dataset" / "test6-malicious.suricata.json.gz"
    events = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    wanted = [event for event in events if event["event_type"] == "flow"]
    alerts = [event for event in events if event["event_type"] == "alert"]
    with open_capture(path) as reader:
        batches = list(reader)
    report = reader.report
    assert (report.format, report.problems) == ("eve+gzip", [])
    assert (report.lines.read, report.lines.flows, report.lines.alerts) == (
        len(events),
        len(wanted),
        len(alerts),
    )
    assert report.lines.other == len(events) - len(wanted) - len(alerts)
    got = [alert for batch in batches for alert in batch.alerts]
    assert [alert.sid for alert in got] == [event["alert"]["signature_id"] for event in alerts]
    assert [alert.signature for alert in got] == [event["alert"]["signature"] for event in alerts]
    flows = [flow for batch in batches for flow in batch.flows]
    for event, flow in zip(wanted, flows, strict=True):
        for name, column in (("start", "start_ns"), ("end", "end_ns")):
            # Microseconds, exact as integers: a float of seconds would not be.
            moment = datetime.fromisoformat(event["flow"][name])
            seconds = int(moment.replace(microsecond=0).timestamp())
            assert int(flow[column]) == seconds * 10**9 + moment.microsecond * 1000
        assert join_address(flow["src_hi"], flow["src_lo"]) == event["src_ip"]
        assert (flow["src_port"], flow["dst_port"]) == (event["src_port"], event["dest_port"])
        assert flow["packets_out"] == event["flow"]["pkts_toserver"]
        assert flow["packets_in"] == event["flow"]["pkts_toclient"]
