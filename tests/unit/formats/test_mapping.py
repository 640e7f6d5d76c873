"""Tables with a mapping: the public sets that have one, and one's own."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from qwarden.core.errors import ConfigError, UnreadableError
from qwarden.formats import open_capture
from qwarden.formats.flows import TCP_STATES, join_address
from qwarden.formats.mapping import Column, Mapping, read_mapping
from qwarden.formats.readers.mapped import moment

from . import craft, tables

OWN = """
    [table]
    separator = ";"

    [columns]
    start = { column = "first", unit = "ms" }
    duration = { column = "dur" }
    src = "source"
    dst = "destination"
    src_port = "sport"
    dst_port = "dport"
    proto = "protocol"
    packets_out = "pkts"
    bytes_out = "bytes"
    flags_out = "flags"
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_file(text: str | bytes, name: str = "mapping.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    return write_file


def test_a_table_of_one_s_own_becomes_flows(write: Any) -> None:
    mapping = read_mapping(write(OWN))
    assert mapping == Mapping(
        {**tables.OWN_MAPPING.columns, "duration": Column(("dur",), "s")}, separator=";"
    )
    with open_capture(write(tables.OWN, "own.csv"), mapping=mapping) as reader:
        [flows] = [batch.flows for batch in reader if batch.flows.size]
    assert (reader.report.format, reader.report.problems) == ("mapped", [])
    assert (reader.report.lines.flows, reader.report.lines.comments) == (3, 1)
    first = flows[0]
    assert (int(first["start_ns"]), int(first["end_ns"])) == (1700000000125000000, 1700000001625000000)
    assert (join_address(first["src_hi"], first["src_lo"]), first["dst_port"], first["syn_out"]) == (
        "10.0.0.1",
        443,
        1,
    )
    assert (first["packets_in"], first["tcp_state"]) == (-1, -1)  # not told
    assert (flows[1]["packets_out"], flows[2]["proto"], flows[2]["src_port"]) == (-1, 58, -1)


def test_without_its_mapping_it_is_refused(write: Any) -> None:
    with (
        pytest.raises(UnreadableError, match="of no format that is read"),
        open_capture(write(tables.OWN)) as reader,
    ):
        list(reader)


def test_a_mapping_leaves_known_formats_alone() -> None:
    flows, report = craft.read(
        craft.pcap([(1, craft.frame4(craft.udp(5, 6), 17))]), mapping=tables.OWN_MAPPING
    )
    assert (len(flows), report.format) == (1, "pcap")
    _, report = craft.read(b"a;b;c\n1;2;3\n", mapping=tables.OWN_MAPPING)
    assert "the header lacks the column 'first', which is mapped to start" in report.problems[0]


def test_columns_without_a_name_are_nobody_s() -> None:
    data = tables.OWN.replace(b"flags\n", b"\n", 1)
    flows, report = craft.read(data, mapping=tables.OWN_MAPPING)
    assert (report.problems, len(flows), flows[0]["syn_out"]) == ([], 3, -1)


def test_columns_by_number_one_way_and_zones(write: Any) -> None:
    mapping = read_mapping(
        write(
            """
            [table]
            header = false
            one_way = true
            zone = "+02:00"
            unset = ["n/a"]
            [columns]
            start = { column = 1, unit = "%d.%m.%Y %H:%M:%S" }
            src = 2
            dst = 3
            dst_port = 5
            src_port = 4
            proto = 6
            packets_out = 7
            bytes_out = 8
            """
        )
    )
    text = (
        b"01.02.2024 12:00:00,10.0.0.1,10.0.0.2,40000,80,tcp,3,180,more\n"
        b"01.02.2024 12:00:00,10.0.0.2,10.0.0.1,80,40000,tcp,n/a,n/a,more\n"
    )
    flows, report = craft.read(text, mapping=mapping)
    assert (report.problems, report.lines.flows, len(flows)) == ([], 2, 1)
    assert int(flows[0]["start_ns"]) == 1706781600 * 10**9  # 10:00 UTC
    assert (flows[0]["src_port"], flows[0]["packets_out"], flows[0]["packets_in"]) == (40000, 3, -1)


@pytest.mark.parametrize(
    ("text", "unit", "seconds"),
    [
        ("1700000000", "s", 1700000000),
        ("1.7E+12", "ms", 1700000000),
        ("1700000000000000", "us", 1700000000),
        ("1700000000000000000", "ns", 1700000000),
        ("2023-11-14T22:13:20Z", "iso", 1700000000),
        ("2023-11-14 23:13:20+01:00", "iso", 1700000000),
        ("14/11/2023 10:13:20 PM", "%d/%m/%Y %I:%M:%S %p", 1700000000),
        ("14 Nov 2023 23:13:20 +0100", "%d %b %Y %H:%M:%S %z", 1700000000),
    ],
)
def test_times_in_every_unit(text: str, unit: str, seconds: int) -> None:
    assert moment(text, unit) == seconds * 10**9
    zoned = text.endswith(("Z", "+01:00", "+0100")) or unit in ("s", "ms", "us", "ns")
    assert moment(text, unit, 3600) == (seconds - (0 if zoned else 3600)) * 10**9


@pytest.mark.parametrize("text", ["", "-1", "NaN", "inf", "1e400", "soon", "9" * 41, "1_000", "\u0661"])
@pytest.mark.parametrize("unit", ["s", "ns", "iso", "%Y"])
def test_what_is_no_time(text: str, unit: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        moment(text, unit)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[columns", "is no TOML"),
        ("[colums]\nstart = 'a'", "colums: is unknown; expected [table] and [columns]"),
        ("columns = 7", "expected [table] and [columns]"),
        ("[columns]\nstart = 'a'\nsrc = 'b'", "columns.dst: is needed"),
        ("[columns]\nstart = 'a'\nsrc = 'b'\ndst = 'c'\nlabel = 'd'", "columns.label: is unknown"),
        (
            "[columns]\nstart = {column = 'a', unit = 'weeks'}\nsrc = 'b'\ndst = 'c'",
            "columns.start.unit: is 'weeks'",
        ),
        ("[columns]\nstart = {name = 'a'}\nsrc = 'b'\ndst = 'c'", "columns.start.name: is unknown"),
        ("[columns]\nstart = 'a'\nsrc = {column = 'b', unit = 's'}\ndst = 'c'", "only times have units"),
        ("[columns]\nstart = 1\nsrc = 'b'\ndst = 'c'", "columns.start: is 1; expected the name of a column"),
        (
            "[table]\nheader = false\n[columns]\nstart = 'a'\nsrc = 2\ndst = 3",
            "expected the number of a column",
        ),
        ("[table]\nseparator = ',,'", "table.separator: is ',,'; expected one character"),
        ("[table]\nzone = 'CET'", "table.zone: is 'CET'"),
        ("[table]\nwidth = 3", "table.width: is unknown"),
        ("#" * 20_000, "is longer than 16,384 bytes"),
    ],
)
def test_a_wrong_mapping_names_the_key(text: str, problem: str, write: Any) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        read_mapping(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)


def test_a_mapping_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        read_mapping(tmp_path / "none.toml")


# Public sets


def test_netflow_features_with_times() -> None:
    flows, report = craft.read(tables.NETFLOW)
    assert (report.format, report.problems, len(flows)) == ("netflow-csv", [], 3)
    assert [TCP_STATES[s] if s >= 0 else "-" for s in flows["tcp_state"]] == ["-", "SF", "REJ"]
    assert (int(flows[1]["start_ns"]), int(flows[1]["end_ns"])) == (
        1424242192744 * 10**6,
        1424242193079 * 10**6,
    )
    assert (flows[0]["packets_out"], flows[0]["bytes_in"], flows[0]["payload_out"]) == (2, 178, 90)


def test_cic_s_tables() -> None:
    flows, report = craft.read(tables.CIC)
    assert (report.format, report.problems, len(flows)) == ("cic", [], 3)
    assert [TCP_STATES[s] if s >= 0 else "-" for s in flows["tcp_state"]] == ["-", "SF", "REJ"]
    assert int(flows[0]["start_ns"]) == 1499083061826651000
    assert int(flows[0]["end_ns"] - flows[0]["start_ns"]) == 251_000
    assert int(flows[1]["start_ns"]) == 1499072158 * 10**9  # 3 July, day first
    assert (flows[1]["payload_in"], flows[2]["packets_in"]) == (2000, 1)


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"IPV4_SRC_ADDR,L4_SRC_PORT,IPV4_DST_ADDR,L4_DST_PORT,PROTOCOL,IN_BYTES,Label\n", "NF-*-v2"),
        (b"Flow Duration,Total Fwd Packets,Flow IAT Mean,Label\n", "CIC"),
        (b"\xef\xbb\xbfid,dur,proto,service,state,spkts,dpkts,sbytes,label\n", "UNSW-NB15"),
        (b"0,tcp,private,REJ," + b"0," * 30 + b"0.00," * 7 + b"neptune,21\n", "NSL-KDD"),
    ],
)
def test_tables_without_context_are_refused_with_the_reason(header: bytes, what: str, write: Any) -> None:
    path = write(header * 2, "table.csv")
    with pytest.raises(UnreadableError) as caught, open_capture(path) as reader:
        list(reader)
    assert what in str(caught.value)
    assert "who spoke to whom and when" in str(caught.value)
    assert "qwarden measure" in str(caught.value)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("nf-bot-iot-v2-reduced/botiot_reduced.csv.gz", "NF-*-v2"),
        ("unsw-nb15/UNSW_NB15_82332.csv.gz", "UNSW-NB15"),
        ("nsl-kdd/KDDTest+.txt.gz", "NSL-KDD"),
    ],
)
def test_the_public_tables_are_recognised(name: str, what: str, data_dir: Path) -> None:
    with (
        pytest.raises(UnreadableError, match="qwarden measure") as caught,
        open_capture(data_dir / name) as reader,
    ):
        list(reader)
    assert what in str(caught.value)


@pytest.mark.data
def test_the_real_cic_table_is_read_whole(data_dir: Path) -> None:
    import polars

    table = polars.read_parquet(data_dir / "cic-ids2017-improved" / "cicids2017_mon_wed.parquet").head(3000)
    flows, report = craft.read(table.write_csv().encode())
    assert (report.problems, len(flows)) == ([], 3000)
    for column, name in (
        ("packets_out", "Total Fwd Packet"),
        ("packets_in", "Total Bwd packets"),
        ("payload_out", "Total Length of Fwd Packet"),
        ("dst_port", "Dst Port"),
    ):
        sure = flows["proto"] != 1 if column == "dst_port" else flows["proto"] > -2
        known = sure & (flows[column] >= 0)
        assert known.mean() > 0.9
        assert flows[column][known].tolist() == table[name].to_numpy()[known].tolist()
    starts = table["Timestamp"].str.to_datetime("%Y-%m-%d %H:%M:%S%.f").dt.epoch("ns").to_list()
    assert flows["start_ns"].tolist() == starts
