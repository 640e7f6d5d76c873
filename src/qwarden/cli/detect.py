"""`qwarden detect` and `explain`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from qwarden.cli.completion import finding_ids, model_references, severities
from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.live import (
    EveSocketOption,
    FollowOption,
    InterfaceOption,
    Live,
    NetflowOption,
    RedisOption,
    detect_live,
)
from qwarden.cli.render import account_text, finding_text, say, verification_text
from qwarden.core.errors import InputError, UsageError

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Captures (pcap, pcapng), logs (Zeek, Suricata EVE, Argus, nfdump, AWS, Azure), "
        "tables of flows, gzip of each, or folders."
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(detect)
    app.command()(explain)


def detect(
    context: typer.Context,
    paths: Paths = None,
    as_json: AsJson = False,
    interface: InterfaceOption = None,
    netflow: NetflowOption = None,
    follow: FollowOption = None,
    eve_socket: EveSocketOption = None,
    redis: RedisOption = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End a live source after so long.", show_default=False)
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT:TARGET",
            help="Also tell findings there; repeatable: eve:FILE, ecs:FILE, ocsf:FILE, stix:FILE, "
            "syslog+udp://HOST (+tcp, +tls), webhook+https://HOST/PATH.",
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="TOML that says what the columns of a CSV of your own mean (docs/formats.md)."),
    ] = None,
    eve: Annotated[Path | None, typer.Option(help="The same as --output eve:FILE.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="SEVERITY",
            help="Exit 1 if a finding is this severe or worse: info ... critical.",
            autocompletion=severities,
        ),
    ] = None,
    fpr: Annotated[
        float | None, typer.Option(help="False-positive budget: the share of benign flows that may alarm.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@VERSION]",
            help="Score with this model; by default the promoted one.",
            autocompletion=model_references,
        ),
    ] = None,
) -> int:
    """Score captures, logs or a live source and print explained findings."""
    from qwarden.core.bus import open_bus
    from qwarden.core.lists import Lists
    from qwarden.detect import SEVERITIES, Detector, default_enricher, default_watchers, find_model
    from qwarden.formats import read_mapping
    from qwarden.formats.deliveries.outputs import open_outputs

    state: Context = context.obj
    live, status = Live(interface, netflow, follow, eve_socket, redis), 0
    live.check(*map(str, paths[:1] if paths else []))
    if not paths and not live.given:
        raise UsageError("detect: expected captures, logs or folders, or a live source as --follow FILE")
    if seconds is not None and not live.given:
        raise UsageError("--seconds: only a live source ends after a time")
    if fail_on is not None and fail_on not in SEVERITIES:
        raise UsageError(f"--fail-on {fail_on}: expected one of {', '.join(SEVERITIES)}")
    with ExitStack() as stack:
        store = stack.enter_context(state.store())
        settings = state.settings.detect
        bus, scorer = open_bus(store), find_model(state.home, model)
        scorer.threads = settings.scoring_threads
        targets = [*settings.outputs, *(output or ()), *([f"eve:{eve}"] if eve else ())]
        outputs = stack.enter_context(open_outputs(targets, state.home, store, bus=bus, say=say_problem))
        detector = Detector(
            scorer,
            settings,
            bus,
            fpr=fpr,
            lists=Lists(store, settings.ignore),
            watchers=default_watchers(state.home, settings, scorer, bus.publish),
            enricher=default_enricher(state.home, settings),
            mapping=None if mapping is None else read_mapping(mapping),
        )

        def show(finding: dict[str, Any]) -> None:
            outputs.closed(finding)
            if not as_json:
                typer.echo(finding_text(finding) + "\n")

        if live.given:
            result, status = detect_live(
                detector,
                live.listener(state.home, state.settings, store),
                live.pipe(state.home),
                hold_s=live.hold_s(state.settings),
                seconds=seconds,
                on_ready=lambda name: say(f"qwarden: listening: {name}"),
                on_alert=outputs.opened,
                on_finding=show,
            )
        else:
            result = detector.run(
                paths or [], on_alert=outputs.opened, on_finding=show, progress=state.progress
            )
    document = result.document()
    for problem in result.problems:
        say(f"qwarden: {problem}")
    if result.unread:
        say("qwarden: logs that are not read: " + ", ".join(sorted({path.name for path, _ in result.unread})))
    if as_json:
        print_json(document)
    else:
        typer.echo(account_text(document))
    for failed in outputs.problems:
        say_problem(str(failed))
    if status:
        return status
    if not result.readable and not live.given:
        return InputError.exit_code
    if outputs.exit_code:
        return outputs.exit_code
    grave = SEVERITIES[SEVERITIES.index(fail_on) :] if fail_on else ()
    return 1 if any(f["severity"] in grave for f in document["findings"]) else 0


def say_problem(problem: str) -> None:
    """Say on standard error what is wrong with an output."""
    say(f"qwarden: {problem}")


def explain(
    context: typer.Context,
    finding_id: Annotated[
        str,
        typer.Argument(help="The finding's id, or as much of it as is unique.", autocompletion=finding_ids),
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Derive its score again, bit for bit; exit 1 if it differs.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Say what a stored finding is, why it was raised, and what it resembles."""
    from qwarden.detect import next_steps, stored_finding, verify_finding
    from qwarden.detect.feedback.verdicts import verdict_on

    state: Context = context.obj
    with state.store() as store:
        if verify:
            found = verify_finding(store, state.home, finding_id)
            if as_json:
                print_json(found)
            else:
                typer.echo(verification_text(found))
            return 0 if found["verified"] else 1
        document = stored_finding(store, finding_id)
        said = verdict_on(store, document["id"])
    if as_json:
        print_json(document if said is None else {**document, "verdict": said.document()})
        return 0
    typer.echo(finding_text(document, full=True))
    if said is not None:
        judged = "an attack" if said.attack else f"no attack (exception {said.exception})"
        typer.echo(f"         judged {judged} by {said.author}: {said.reason}")
    for what_for, command in next_steps(document, None if said is None else said.attack):
        typer.echo(f"         next {command:<60} # {what_for}")
    return 0
