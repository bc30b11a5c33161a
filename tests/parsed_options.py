"""Options of sweeps as a command line gives them, without running anything."""

from gseg.commands.app import make_app
from gseg.commands.options import SweepOptions


def parsed_options(*words: str) -> SweepOptions:
    found = []
    app = make_app("parsed", "")

    @app.default
    def keep(*, options: SweepOptions = SweepOptions()) -> None:
        found.append(options)

    app(list(words), exit_on_error=False, print_error=False)
    return found[0]
