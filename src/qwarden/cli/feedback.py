"""`qwarden feedback`: verdicts on findings and flows, missed attacks, questions, and learning from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from qwarden.cli.completion import finding_ids
from qwarden.cli.context import AsJson, Context, author_of, moment, print_json
from qwarden.cli.render import say

if TYPE_CHECKING:
    from qwarden.detect.feedback.learning import Learnt
    from qwarden.detect.feedback.missed import Missed
    from qwarden.detect.feedback.questions import Question

MISSED = "--missed"


class _VerdictOrCommand(TyperGroup):
    """``qwarden feedback ID true|false`` judges; a first word that is a command is that command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in where there is none."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            missed = any(arg.partition("=")[0] == MISSED for arg in args)
            args = ["missed" if missed else "judge", *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    cls=_VerdictOrCommand,
    help="Say whether a finding or a flow was an attack (`qwarden feedback ID true|false`), or that an attack"
    " was missed (`qwarden feedback --missed FLOW`); answer what the model is unsure of, and let it learn.",
    epilog="`qwarden feedback judge --help` and `qwarden feedback missed --help` tell more of the first two.",
    no_args_is_help=True,
)

Reason = Annotated[str, typer.Option(help="Why.")]
Author = Annotated[str | None, typer.Option(help="Who says so; by default who runs this.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="feedback")


@group.command("judge")
def judge(
    context: typer.Context,
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID|FLOW",
            help="A finding's id, or its short one; or a flow as `qwarden flows search` prints it.",
            autocompletion=finding_ids,
        ),
    ],
    attack: Annotated[bool, typer.Argument(metavar="true|false", help="Was it an attack?")],
    reason: Reason = "verdict of an analyst",
    until: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="When a dismissal ends, in wall time: from now, as 30d; or 2030-01-31. Never, by default.",
        ),
    ] = None,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a finding was an attack. One that was none stays dismissed, by the narrowest exception.

    A verdict on a flow dismisses nothing; it is learnt from.
    """
    if ":" in id:
        _judge_flow(context, id, attack, reason, until, author, as_json)
        return
    from qwarden.core.bus import open_bus
    from qwarden.core.lists import Lists
    from qwarden.detect.feedback.verdicts import judge_finding

    state: Context = context.obj
    with state.store() as store:
        judged = judge_finding(
            store,
            open_bus(store),
            Lists(store, state.settings.detect.ignore),
            id,
            attack=attack,
            reason=reason,
            author=author_of(author),
            expires=None if until is None else moment(until),
        )
    if as_json:
        print_json(judged.document())
        return
    typer.echo(f"{judged.verdict.finding_id}: {'an attack' if attack else 'no attack'}")
    for entry in judged.removed:
        typer.echo(f"taken back: {entry.scope} (id {entry.id})")
    if judged.added is not None:
        typer.echo(f"dismissed from now on: {judged.added.scope}")
        typer.echo(f"take it back with: qwarden lists remove {judged.added.id} --reason ...")


def _judge_flow(
    context: typer.Context,
    flow: str,
    attack: bool,
    reason: str,
    until: str | None,
    author: str | None,
    as_json: bool,
) -> None:
    from qwarden.core.bus import open_bus
    from qwarden.core.errors import UsageError
    from qwarden.detect.feedback.missed import judge_flow
    from qwarden.detect.feedback.questions import asked_about

    if until is not None:
        raise UsageError("--until: a verdict on a flow makes no exception that could end")
    state: Context = context.obj
    with state.store() as store:
        verdict = judge_flow(
            open_bus(store), state.home, flow, attack=attack, reason=reason, author=author_of(author),
            known=asked_about(store, flow),
        )  # fmt: skip
    if as_json:
        print_json(verdict.document())
    else:
        shows = verdict.evidence["behaviour"] or "no named behaviour"
        typer.echo(f"flow {flow}: {'part of an attack' if attack else 'no attack'} (it shows {shows})")


@group.command("missed", hidden=True)
def missed(
    context: typer.Context,
    flow: Annotated[
        str, typer.Option(MISSED, metavar="FLOW", help="A flow as `qwarden flows search` prints it.")
    ],
    kind: Annotated[str | None, typer.Option(help="What it was, as scan_vertical.")] = None,
    reason: Reason = "missed",
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Say that a flow was part of an attack that was missed, and look at its surroundings again."""
    from qwarden.core.bus import open_bus
    from qwarden.detect.feedback.missed import report_missed
    from qwarden.detect.lookup import find_model

    state: Context = context.obj
    model = find_model(state.home)
    with state.store() as store:
        found = report_missed(
            open_bus(store), state.home, model, flow, kind=kind,
            fpr=state.settings.detect.fpr or model.budget, reason=reason, author=author_of(author),
            progress=state.progress,
        )  # fmt: skip
    if as_json:
        print_json(found.document())
    else:
        typer.echo(_missed_text(found))


@group.command()
def queue(context: typer.Context, as_json: AsJson = False) -> None:
    """List verdicts that no model has learnt yet, and the questions that are open."""
    from qwarden.detect.feedback.answers import given_verdicts
    from qwarden.detect.feedback.learning import learnt_through
    from qwarden.detect.feedback.questions import open_questions
    from qwarden.detect.lookup import model_registry

    state: Context = context.obj
    with state.store() as store:
        given, contradicted = given_verdicts(store)
        questions = open_questions(store)
    through = learnt_through(model_registry(state.home))
    waiting = [one for one in given if one.seq > through]
    if as_json:
        verdicts = [
            {
                "about": one.about,
                "attack": one.event.attack,
                "author": one.event.author,
                "reason": one.event.reason,
            }
            for one in waiting
        ]
        print_json({
            "verdicts": {"in_all": len(given), "contradicted": contradicted, "waiting": verdicts},
            "questions": [question.document() for question in questions],
        })  # fmt: skip
        return
    typer.echo(
        f"{len(given)} verdicts, {len(waiting)} not learnt yet, {contradicted} contradicted earlier ones"
    )
    for one in waiting:
        typer.echo(
            f"  {one.about:<40} {'attack' if one.event.attack else 'no attack':<10} {one.event.reason}"
        )
    typer.echo(_questions_text(questions))


@group.command()
def questions(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="How many flows to ask about.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Ask about the flows that the model is least certain of.

    Answer with: qwarden feedback FLOW true|false.
    """
    from qwarden.core.bus import open_bus
    from qwarden.detect.feedback.questions import ask
    from qwarden.detect.lookup import find_model

    state: Context = context.obj
    settings, model = state.settings.detect, find_model(state.home)
    with state.store() as store:
        found = ask(
            store, open_bus(store), state.home, model, fpr=settings.fpr or model.budget,
            level=settings.ambiguity, count=count, progress=state.progress,
        )  # fmt: skip
    for problem in found.passed_over:
        say(f"qwarden: passed over: {problem}")
    if as_json:
        print_json({
            "new": found.new, "candidates": found.candidates,
            "questions": [question.document() for question in found.questions],
        })  # fmt: skip
    else:
        typer.echo(_questions_text(found.questions))


@group.command()
def learn(
    context: typer.Context,
    name: Annotated[
        str, typer.Option(help="What the model is called; its next version is made.")
    ] = "feedback",
    weight: Annotated[float, typer.Option(help="Weight of a verdict's flow; one of the range has 1.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Of everything random in the training.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the model again on all verdicts; promote it if it is better on those held back.

    It takes a minute or two, and longer the first time. A model that is not better is kept as a candidate:
    `qwarden models list` has it, `qwarden models promote NAME@VERSION` takes it all the same.
    """
    from qwarden.detect.feedback.learning import learn as learn_from

    state: Context = context.obj
    with state.store() as store:
        learnt = learn_from(
            state.home, store, state.settings.detect, name=name, weight=weight, seed=seed,
            progress=state.progress,
            on_making=lambda: say("qwarden: the first time, rows of the traffic range are made: minutes"),
        )  # fmt: skip
    for given, why in learnt.answers.unusable:
        say(f"qwarden: not learnt from: {given.about}: {why}")
    if as_json:
        print_json(learnt.document())
    else:
        typer.echo(_learnt_text(learnt))


def _missed_text(found: Missed) -> str:
    verdict, around = found.verdict, found.rescored
    shows = verdict.evidence["behaviour"]
    lines = [
        f"flow {verdict.flow_id}: on record as a missed attack"
        + (f" ({verdict.label})" * bool(verdict.label))
    ]
    if shows is None:
        lines.append("it shows no named behaviour, so it could not alarm, and nothing can be learnt from it")
    elif found.p_value is not None:
        lines.append(f"it shows {shows}, p {found.p_value:.3g}")
    lines.append(
        f"around it: {around.looked_at} flows show a behaviour; "
        f"{around.alarming} more would alarm at a budget of {around.fpr:g}"
    )
    for near in found.found:
        ends = f"{near.src_ip} -> {near.dst_ip} {_port(near.dst_port)}"
        lines.append(f"  {near.id:<20} {near.kind:<16} {ends:<44} p {near.p_value:.3g}")
    return "\n".join(lines)


def _questions_text(questions: Any) -> str:
    if not questions:
        return "no open questions"
    lines = [f"{len(questions)} open questions; answer with: qwarden feedback FLOW true|false"]
    return "\n".join(lines + [_question_line(question) for question in questions])


def _question_line(question: Question) -> str:
    asked = question.document()
    ends = f"{asked['src_ip']} -> {asked['dst_ip']} {_port(asked['dst_port'])}"
    return f"  {asked['flow']:<20} {asked['kind']:<16} {ends:<44} p {asked['p_value']:.3g} ({asked['why']})"


def _learnt_text(learnt: Learnt) -> str:
    rows = [
        ("", "error on", "attacks", "dismissed", "range:", "false in"),
        ("", "held back", "found", "told", "recall", "1,000"),
    ]
    for name, figures in (
        (learnt.entry.reference, learnt.new), (learnt.before, learnt.old), ("its twin", learnt.twin),
        ("twin in use", learnt.old_twin),
    ):  # fmt: skip
        found, told = f"{figures.found}/{figures.attacks}", f"{figures.false}/{figures.benign}"
        recall, false = f"{figures.range_recall:.3f}", f"{figures.range_false_per_1000:.2f}"
        rows.append((name, f"{figures.error:.3f}", found, told, recall, false))
    lesson = learnt.lesson
    lines = [
        f"{len(lesson.train)} verdicts learnt, {len(lesson.calibrate)} calibrated with, "
        f"{len(lesson.held_back)} held back",
        *(f"{row[0]:<20}" + "".join(f"{cell:>11}" for cell in row[1:]) for row in rows),
    ]
    if learnt.promoted:
        lines.append(f"{learnt.entry.reference} is better, and in use now")
    else:
        lines.append(
            f"{learnt.entry.reference} is kept as a candidate; {learnt.before} stays in use. The new model"
        )
        lines += [f"  {reason}" for reason in learnt.reasons]
    return "\n".join(lines)


def _port(port: int | None) -> str:
    return "" if port is None else str(port)
