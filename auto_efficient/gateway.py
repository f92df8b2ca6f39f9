"""``auto-efficient serve``: run the gateway."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from router.errors import RouterError


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; loopback by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; 4000 by default.")] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="Send everything to this one server (base URL); it is asked for its models."
        ),
    ] = None,
    upstream_key: Annotated[
        str | None, typer.Option(envvar="AUTO_EFFICIENT_UPSTREAM_KEY", help="Its API key.")
    ] = None,
    own_name: Annotated[
        list[str] | None,
        typer.Option(help="A further name of this machine, such as host.docker.internal."),
    ] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option(help="An origin whose pages may ask as local ones do.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; 1 by default.")] = None,
    models: Annotated[
        Path | None,
        typer.Option("--models", help="Folder with what differs from the shipped data."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file (TOML); ./auto-efficient.toml if it exists.")
    ] = None,
) -> None:
    """Run the gateway.  Without --upstream or any provider key a simulated provider answers."""
    from router.serving.app import serve as run
    from router.settings import Settings

    overrides = {
        "host": host,
        "port": port,
        "upstream": upstream,
        "upstream_key": upstream_key,
        "own_names": own_name,
        "allowed_origins": allowed_origin,
        "workers": workers,
        "models_dir": models,
    }
    try:
        run(Settings.load(environ=os.environ, overrides=overrides, config=config))
    except (RouterError, OSError) as error:
        typer.echo(f"auto-efficient serve: {error}", err=True)
        raise typer.Exit(2) from error
