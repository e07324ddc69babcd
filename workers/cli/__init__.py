"""The command line. One module a group of commands; `main` is the console script `throughline`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Annotated

import typer

from workers.cli import (
    audit,
    care_papers,
    files,
    frame,
    identity,
    inbox,
    looking,
    policy,
    projections,
    recording,
    referring,
    running,
    sending,
    simulating,
    staffing,
    token,
    workflows,
    year,
)

EPILOG = "Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 something is away, 4 a defect of ours."

app = typer.Typer(
    name="throughline",
    cls=frame.Root,
    help="Keeps every promise of an Enhanced Care Management programme, or shows when, under which rule and why it was broken.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    pretty_exceptions_enable=False,
)


@app.callback()
def top(
    demo: Annotated[bool, typer.Option("--demo", help="Speak to the demo that runs on this machine.")] = False,
) -> None:
    """Where the system is comes from the environment; see `throughline doctor`."""
    frame.asked.demo = demo


running.mount(app)
looking.mount(app)
year.mount(app)
care_papers.mount(app)
recording.mount(app)
referring.mount(app)
staffing.mount(app, recording.staff)
sending.mount(app)
simulating.mount(app)
app.add_typer(inbox.app, name="inbox", rich_help_panel="Front door")
app.add_typer(files.app, name="files", rich_help_panel="Front door")
app.add_typer(identity.app, name="identity", rich_help_panel="Front door")
for name, group in (
    ("policy", policy.app),
    ("workflows", workflows.app),
    ("projections", projections.app),
    ("audit", audit.app),
    ("token", token.app),
):
    app.add_typer(group, name=name, rich_help_panel="Operations")
if importlib.util.find_spec("workers.cli.demo") is not None:
    app.add_typer(importlib.import_module("workers.cli.demo").app, name="demo", rich_help_panel="Running it")


def main() -> None:
    """Entry point of the console script."""
    app()
