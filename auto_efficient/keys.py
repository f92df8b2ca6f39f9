"""``auto-efficient keys``, ``teams``, ``terms``: who may ask and under what, in the gateway's database.

They work while the gateway runs, which learns of a change within a second, and while it does not.
"""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from auto_efficient.kept import kept_in

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from router.callers.registry import Registry
    from router.settings import Settings

DAY_S: Final = 86_400.0

Config = Annotated[
    Path | None, typer.Option(help="Settings file (TOML); ./auto-efficient.toml if it exists.")
]

keys = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke callers' keys.")
teams = typer.Typer(no_args_is_help=True, help="Create and list teams.")
terms = typer.Typer(no_args_is_help=True, help="Show and set what holds for whom.")


@contextmanager
def _registry(config: Path | None) -> Iterator[Registry]:
    """Open the registry; an error of ours ends the command with one line."""
    from router.errors import RouterError

    try:
        with kept_in(config) as (settings, engine):
            yield registry_of(settings, engine)
    except RouterError as error:
        typer.echo(f"auto-efficient: {error}", err=True)
        raise typer.Exit(2) from error


def registry_of(settings: Settings, engine: Engine) -> Registry:
    """Return the registry of a configuration's database."""
    from router.callers.registry import Registry
    from router.callers.seal import seal_of

    seal = seal_of(settings.secret_key.get_secret_value(), settings.state_dir)
    return Registry(engine, seal, fixed=settings.callers)


def actor() -> str:
    """Name who changes something, for the audit log."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        return "command line"


def _day(at_s: float | None) -> str:
    return "-" if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who holds it.")],
    team: Annotated[str | None, typer.Option(help="The team it belongs to.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="inference (the default), read or admin; may be given several times."),
    ] = None,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.0, help="Never by default.")
    ] = None,
    config: Config = None,
) -> None:
    """Make a key.  It is printed once, on standard output, and kept nowhere."""
    from router.callers.directory import Access

    with _registry(config) as registry:
        try:
            scopes = [Access(word) for word in scope or ["inference"]]
        except ValueError as error:
            raise typer.BadParameter(f"{error}; there are {', '.join(Access)}") from None
        until_s = None if expires_in_days is None else time.time() + expires_in_days * DAY_S
        made = registry.create(name, actor(), team=team, scopes=scopes, expires_s=until_s)
        typer.echo("This key is shown once; put it where its holder's client looks:", err=True)
        typer.echo(made.key)


@keys.command("list")
def list_keys(config: Config = None) -> None:
    """List keys: names, teams, scopes, last characters, dates."""
    from rich.console import Console
    from rich.table import Table

    with _registry(config) as registry:
        table = Table("name", "team", "scopes", "ends in", "created (UTC)", "expires", "revoked")
        for row in registry.listed():
            dates = [_day(row[name]) for name in ("created_s", "expires_s", "revoked_s")]
            table.add_row(row["name"], row["team"] or "-", row["scopes"], f"…{row['hint']}", *dates)
        Console().print(table)


@keys.command("rotate")
def rotate(
    name: str,
    grace_hours: Annotated[
        float, typer.Option(min=0.0, help="How long the old key still opens.")
    ] = 24.0,
    config: Config = None,
) -> None:
    """Make a new key for a name; the old one opens for a while."""
    with _registry(config) as registry:
        made = registry.rotate(name, actor(), grace_s=grace_hours * 3600.0)
        typer.echo(f"The old key opens for {grace_hours:g} hours more. The new one:", err=True)
        typer.echo(made.key)


@keys.command("revoke")
def revoke(name: str, config: Config = None) -> None:
    """Let every key of a name open nothing any more."""
    with _registry(config) as registry:
        registry.revoke(name, actor())
        typer.echo(f"The keys of {name} open nothing any more.")


@teams.command("create")
def create_team(name: str, config: Config = None) -> None:
    """Make a team."""
    with _registry(config) as registry:
        registry.create_team(name, actor())
        typer.echo(
            f"There is a team {name} now; `auto-efficient terms set team:{name}` says what holds."
        )


@teams.command("list")
def list_teams(config: Config = None) -> None:
    """List the teams."""
    with _registry(config) as registry:
        for name in registry.teams():
            typer.echo(name)


ACCOUNT: Final = "org, team:NAME or key:NAME."


@terms.command("show")
def show(
    account: Annotated[str | None, typer.Argument(help=f"{ACCOUNT} All by default.")] = None,
    config: Config = None,
) -> None:
    """Print what accounts say of their own, as JSON."""
    with _registry(config) as registry:
        said = {
            name: terms.model_dump(mode="json", exclude_unset=True)
            for name, terms in registry.terms().items()
            if account in (None, name)
        }
        typer.echo(json.dumps(said, indent=2))


@terms.command("set")
def set_terms(
    account: Annotated[str, typer.Argument(help=ACCOUNT)],
    fields: Annotated[
        str,
        typer.Argument(
            help='JSON, as {"budgets": [{"usd": 50, "per": "month"}], "dial": "economy"}.'
        ),
    ],
    config: Config = None,
) -> None:
    """Say what holds for an account, instead of all that was said; {} says nothing."""
    from auto_efficient.examined import examined_here

    try:
        given = json.loads(fields)
    except ValueError as error:
        raise typer.BadParameter(f"the terms are no JSON: {error}") from None
    if not isinstance(given, dict):
        raise typer.BadParameter("the terms are a JSON object")
    with _registry(config) as registry:
        check = examined_here(config).data.check_terms
        registry.set_terms(account, given, actor(), check=check)
        typer.echo(f"{account}: {json.dumps(given)}")
