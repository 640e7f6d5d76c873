# ruff: noqa: E501 (the lines are as the tools write them)
"""Tables and documents of flows made by hand for the tests, one good one of each format."""

from __future__ import annotations

import json
from collections.abc import Sequence

from qwarden.formats.mapping import Column, Mapping

ARGUS = b"""StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,SrcPkts,Label
2018/12/18 14:00:00.075359,0.000000,tcp,216.73.23.146,52691,   ->,147.32.81.57,445,S_,0,0,1,70,70,1,
2018/12/18 14:00:00.527012,0.699716,tcp,216.73.23.146,52798,   ->,147.32.81.58,445,S_RA,0,0,2,134,70,1,
2018/12/18 14:00:40.401974,0.000000,tcp,46.166.151.160,51161,   ->,147.32.81.182,3389,SRPA_,0,0,1,194,194,1,
2018/12/18 14:00:00.000000,2.696271,tcp,147.32.84.157,22,  <?>,94.230.156.166,58441,PA_PA,16,0,4,1162,1033,2,
2018/12/18 14:00:33.043938,0.003255,udp,147.32.84.147,56312,  <->,94.230.156.166,1947,CON,0,0,2,172,86,1,
2018/12/18 14:00:11.171480,0.000515,icmp,168.1.206.67,0x0008,  <->,147.32.87.1,0x0f72,ECO,164,164,2,220,110,1,
2018/12/18 14:00:36.372007,0.000000,ipv6-icmp,fe80::1,97,   ->,ff02::1,115,UNK,166,,1,150,150,1,
2018/12/18 14:00:37.000000,0.000000,arp,10.0.0.1,,   who,10.0.0.2,,INT,,,1,60,60,1,
2018/12/18 14:00:38.000000,0.000000,llc,00:15:17:2c:e5:2d,0,   ->,01:00:0c:cc:cc:cc,0,INT,,,1,60,60,1,
"""

NFDUMP_OLD = b"""ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt,in,out,sas,das,svln,dvln,ismc,tr
2018-01-12 15:37:30,2018-01-12 15:37:31,0.642,147.32.80.119,147.32.82.62,52324,902,TCP,......S.,0,0,1,60,0,0,0,0,0,0,0,0,00:00:00:00:00:00,1970-01-01 00:00:00.000
2018-01-12 15:37:30,2018-01-12 15:37:30,0.000,147.32.82.62,147.32.80.119,902,52324,TCP,...A.R..,0,0,1,40,0,0,0,0,0,0,0,0,00:00:00:00:00:00,1970-01-01 00:00:00.000
2018-01-12 15:37:30,2018-01-12 15:37:35,5.000,10.0.0.1,10.0.0.2,0,2048,ICMP,........,0,0,5,420,0,0,0,0,0,0,0,0,00:0c:29:66:c7:82,1970-01-01 00:00:00.000
2018-01-12 15:37:30,2018-01-12 15:37:35,5.000,10.0.0.2,10.0.0.1,0,0,ICMP,........,0,0,5,420,0,0,0,0,0,0,0,0,00:00:00:00:00:00,1970-01-01 00:00:00.000
2018-01-12 15:37:40,2018-01-12 15:37:40,0.010,fe80::1,ff02::fb,5353,5353,UDP,........,0,0,2,300,3,400,0,0,0,0,7,0,00:00:00:00:00:00,1970-01-01 00:00:00.000
Summary
flows,bytes,packets,avg_bps,avg_pps,avg_bpp
5,1240,14,130000,312,52
"""

NFDUMP_NEW = b"""firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows
2024-05-01 10:00:00.125,1.500,6,10.0.0.1,40000,10.0.0.2,443,12,4000,1
2024-05-01 10:00:00.130,1.490,6,10.0.0.2,443,10.0.0.1,40000,10,90000,1
2024-05-01 10:00:02.000,0.000,17,10.0.0.1,5000,10.0.0.9,53,1,70,1
2024-05-01 10:00:03.000,0.000,1,10.0.0.1,0,10.0.0.9,8.0,1,84,1
"""

NFDUMP_PRINTED = b"""Date first seen (raw)             Duration Proto                             Src IP Addr Src Pt                             Dst IP Addr Dst Pt    Flags   In Pkt  In Byte  Out Pkt Out Byte SVlan   In src MAC Addr
1515771450.942,           0.000,6    ,                          147.32.80.119, 52324,                           147.32.82.62,   902,......S.,       1,      60,       0,       0,    0,00:00:00:00:00:00
1515771450.942,           0.000,6    ,                           147.32.82.62,   902,                          147.32.80.119, 52324,...A.R..,       1,      40,       0,       0,    0,00:00:00:00:00:00
1515771451.100,           2.000,58   ,                                fe80::1,     0,                                fe80::2, 128.0,........,       1,     104,       0,       0,    5,00:0c:29:66:c7:82
Summary: total flows: 3, total bytes: 204, total packets: 3, avg bps: 58357, avg pps: 140, avg bpp: 51
Time window: 2018-01-12 15:37:30 - 2018-01-12 15:38:03
Total flows processed: 3, passed: 3, Blocks skipped: 0, Bytes read: 385916
Sys: 0.0000s User: 0.0037s Wall: 0.0030s flows/second: 1514380.8 Runtime: 0.0063s
"""

VPC = b"""version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 172.31.16.21 172.31.16.139 22 20641 6 18 8249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK
2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA
2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA
2 123456789010 eni-1235b8ca123456789 203.0.113.12 172.31.16.139 0 0 1 4 336 1432917027 1432917142 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 172.31.16.139 203.0.113.12 0 0 1 4 336 1432917094 1432917142 REJECT OK
2 123456789010 eni-1235b8ca123456789 2001:db8::1 2001:db8::2 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK
"""

VPC_OWN = b"""version vpc-id interface-id type srcaddr dstaddr pkt-srcaddr pkt-dstaddr srcport dstport protocol tcp-flags bytes packets start end action log-status
3 vpc-abcdefab012345678 eni-3333 IPv4 10.20.33.164 10.40.2.236 10.20.33.164 203.0.113.7 39812 80 6 3 568 8 1566848875 1566848933 ACCEPT OK
3 vpc-abcdefab012345678 eni-3333 IPv4 10.40.2.236 10.20.33.164 203.0.113.7 10.20.33.164 80 39812 6 19 568 8 1566848875 1566848933 ACCEPT OK
3 vpc-abcdefab012345678 eni-3333 IPv4 10.20.33.164 10.40.2.237 - - 39813 81 6 2 60 1 1566848876 1566848876 ACCEPT OK
"""


def azure(*groups: Sequence[str]) -> bytes:
    """A document of Azure's virtual network flow logs: lists of flow tuples."""
    flows = [
        {
            "aclID": "a",
            "flowGroups": [{"rule": "DefaultRule_AllowInternetOutBound", "flowTuples": list(tuples)}],
        }
        for tuples in groups
    ]
    record = {"time": "2022-09-14T09:00:52.5625085Z", "flowLogVersion": 4, "macAddress": "00224871C205"}
    record |= {"category": "FlowLogFlowEvent", "flowRecords": {"flows": flows}}
    return json.dumps({"records": [record]}).encode()


AZURE = azure(
    [
        "1663146003599,10.0.0.6,192.0.2.180,23956,443,6,O,B,NX,0,0,0,0",
        "1663146003606,10.0.0.6,192.0.2.180,23956,443,6,O,E,NX,3,767,2,1580",
        "1663146003637,10.0.0.6,203.0.113.17,22730,443,6,O,B,NX,0,0,0,0",
    ],
    ["1663145998065,101.33.218.153,10.0.0.6,55188,22,6,I,D,NX,0,0,0,0"],
)

_NSG_TUPLES = [
    "1542110377,10.0.0.4,13.67.143.118,44931,443,T,O,A,B,,,,",
    "1542110679,10.0.0.4,13.67.143.118,44931,443,T,O,A,C,52,29952,47,27072",
    "1542110379,185.143.223.12,10.0.0.4,33333,3389,T,I,D,B,,,,",
    "1542110400,10.0.0.4,8.8.8.8,5353,53,U,O,A",
]
NSG = json.dumps(
    {
        "records": [
            {
                "time": "2018-11-13T12:00:35.3899262Z",
                "category": "NetworkSecurityGroupFlowEvent",
                "properties": {
                    "Version": 2,
                    "flows": [
                        {"rule": "DefaultRule", "flows": [{"mac": "000D3AF87856", "flowTuples": _NSG_TUPLES}]}
                    ],
                },
            }
        ]
    },
    indent=1,
).encode()

NETFLOW = b"""FLOW_START_MILLISECONDS,FLOW_END_MILLISECONDS,IPV4_SRC_ADDR,L4_SRC_PORT,IPV4_DST_ADDR,L4_DST_PORT,PROTOCOL,L7_PROTO,IN_BYTES,IN_PKTS,OUT_BYTES,OUT_PKTS,TCP_FLAGS,CLIENT_TCP_FLAGS,SERVER_TCP_FLAGS,FLOW_DURATION_MILLISECONDS,ICMP_IPV4_TYPE,Label,Attack
1424242193040,1424242193043,59.166.0.2,4894,149.171.126.3,53,17,5.0,146,2,178,2,0,0,0,3,0,0,Benign
1424242192744,1424242193079,59.166.0.4,52671,149.171.126.6,31992,6,11.0,4704,28,2976,30,27,27,27,335,0,0,Benign
1424242190649,1424242193109,59.166.0.0,47290,149.171.126.9,6881,6,37.0,60,1,40,1,22,2,20,2460,0,1,Reconnaissance
"""

CIC = b"""Flow ID,Src IP,Src Port,Dst IP,Dst Port,Protocol,Timestamp,Flow Duration,Total Fwd Packet,Total Bwd packets,Total Length of Fwd Packet,Total Length of Bwd Packet,FIN Flag Count,SYN Flag Count,RST Flag Count,Fwd RST Flags,Bwd RST Flags,Label
a,192.168.10.17,7769,192.168.10.3,53,17,2017-07-03 11:57:41.826651,251,2,2,64,158,0,0,0,0,0,BENIGN
b,192.168.10.5,5000,192.168.10.50,80,6,03/07/2017 08:55:58 AM,4000,5,4,300,2000,2,2,0,0,0,BENIGN
c,172.16.0.1,5001,192.168.10.50,22,6,4/7/2017 9:12,10,1,1,0,0,0,1,1,0,1,PortScan
"""

OWN = b"""first;dur;source;sport;destination;dport;protocol;pkts;bytes;flags
1700000000125;1.5;10.0.0.1;40000;10.0.0.2;443;tcp;10;4000;FSPA
1700000000130;0.25;10.0.0.1;40001;10.0.0.2;53;17;-;-;-
1700000000131;0;fe80::1;0;ff02::1;0;icmp6;1;104;
"""
OWN_MAPPING = Mapping(
    {
        "start": Column(("first",), "ms"), "duration": Column(("dur",), "s"), "src": Column(("source",)),
        "dst": Column(("destination",)), "src_port": Column(("sport",)), "dst_port": Column(("dport",)),
        "proto": Column(("protocol",)), "packets_out": Column(("pkts",)), "bytes_out": Column(("bytes",)),
        "flags_out": Column(("flags",)),
    },
    separator=";",
)  # fmt: skip

NOTICE_FIELDS = (
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "note",
    "msg",
    "src",
    "dst",
    "p",
)
NOTICE = {
    "ts": 1601998373.487779, "proto": "tcp", "note": "Scan::Address_Scan", "src": "147.32.83.156", "p": 23,
    "msg": "147.32.83.156 scanned at least 25 unique hosts on port 23/tcp in 1m14s",
}  # fmt: skip
