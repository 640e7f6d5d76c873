"""`qwarden flows`: the flows of a capture, and those that were scored, found again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from qwarden.cli.completion import finding_ids
from qwarden.cli.context import AsJson, Context, moment, print_json
from qwarden.cli.render import flows_text, say
from qwarden.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from qwarden.detect.lookup import FlowTable


class _PathOrCommand(TyperGroup):
    """``qwarden flows CAPTURE`` lists; a first word that is a command is that command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in where there is none."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    cls=_PathOrCommand,
    help="Flows: of a capture (`qwarden flows CAPTURE`), or those that were scored.",
    no_args_is_help=True,
)

AsCsv = Annotated[bool, typer.Option("--csv", help="All columns, as CSV.")]
Limit = Annotated[int, typer.Option(min=0, help="How many flows to print; 0 for all.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="flows")


@group.command("list")
def list_flows(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A capture or a log.")],
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    limit: Limit = 0,
) -> int:
    """List the flows of a capture or a log: a short table, or all columns as CSV or JSON."""
    from qwarden.detect import flow_table

    state: Context = context.obj
    _one_form(as_csv, as_json)
    table = flow_table(path, state.settings.detect, limit)
    if as_json:
        print_json({"source": table.source, "flows": table.records()})
    else:
        _print(table, as_csv)
    for problem in table.problems:
        say(f"qwarden: {problem}")
    return 0 if table.readable else InputError.exit_code


@group.command()
def search(
    context: typer.Context,
    address: Annotated[
        list[str] | None, typer.Option(help="A network or address, of either side; may be given twice.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="A network or address that flows come from.")] = None,
    destination: Annotated[str | None, typer.Option(help="A network or address they go to.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="A port, of either side.")] = None,
    proto: Annotated[str | None, typer.Option(help="tcp, udp, icmp, icmpv6, arp or a number.")] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="Flows that go on until then.")] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Flows that began by then.")] = None,
    kind: Annotated[str | None, typer.Option(help="The behaviour they show, as scan_vertical.")] = None,
    told: Annotated[bool, typer.Option("--alarming", help="Only flows that alarmed.")] = False,
    finding: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The alarming flows of this finding.", autocompletion=finding_ids),
    ] = None,
    pcap: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Write the packets of all flows that fit, cut from their captures: pcap, or pcapng if the "
            "name ends so.",
        ),
    ] = None,
    limit: Limit = 1000,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Find flows that were scored; all that is given must fit.

    WHEN is a date and time, as 2026-01-31T18:00Z, or how long ago, as 12h.
    """
    from qwarden.detect.archive import Query, search
    from qwarden.detect.cutting import cut_packets
    from qwarden.detect.lookup import archived_table, finding_query, protocol_number, stored_finding

    state: Context = context.obj
    _one_form(as_csv, as_json)
    if finding is not None:
        with state.store() as store:
            query = finding_query(stored_finding(store, finding))
    else:
        query = Query(
            addresses=tuple(address or ()), source=source, destination=destination, port=port,
            proto=None if proto is None else protocol_number(proto),
            since=None if since is None else moment(since, ago=True),
            until=None if until is None else moment(until, ago=True),
            kind=kind, told=told,
        )  # fmt: skip
    found = search(state.home, query, limit + 1 if limit and pcap is None else 0)
    cut = None if pcap is None else cut_packets(state.home, found, pcap, state.settings.detect)
    table = archived_table(found)
    more = bool(limit) and len(table.flows) > limit
    if more:
        table = table.head(limit)
    if as_json:
        document = {"flows": table.records(), "more": more}
        print_json(document if cut is None else {**document, "pcap": cut.document()})
    else:
        _print(table, as_csv)
    if more:
        say(f"qwarden: there are more than {limit}; see --limit")
    if cut is not None:
        say(f"qwarden: {cut.summary()}")
        for problem in cut.problems:
            say(f"qwarden: {problem}")
    if not table.flows.size and not state.settings.detect.archive_mib:
        raise UsageError("detect.archive_mib is 0: flows are not kept")


def _one_form(as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise UsageError("--csv and --json: expected one of them")


def _print(table: FlowTable, as_csv: bool) -> None:
    if as_csv:
        table.write_csv(sys.stdout)
    else:
        typer.echo(flows_text(table.records()))
