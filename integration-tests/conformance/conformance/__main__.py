"""`python -m conformance suites|replay|compare`: see `run`."""
import argparse
import os
import signal
import sys

from . import replay


def arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(os.environ["COMPARE_ROOT"], "target")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--nephos", default=os.path.join(target, "debug", "nephos"), help="the binary [%(default)s]")
    where = {"help": "SQLite and files, or PostgreSQL and S3 of scripts/servers [%(default)s]"}

    suites = commands.add_parser("suites", parents=[common], help="Gnocchi's functional suites")
    suites.add_argument("--backend", choices=["files", "servers", "both"], default="both", **where)
    suites.add_argument("--only", help="files, without .yaml, joined by commas")
    suites.add_argument("--jobs", type=int, default=2, help="files at a time [%(default)s]")
    suites.add_argument("--json", help="write each test's outcome to this file")
    suites.add_argument("--verbose", action="store_true", help="say why tests failed")

    again = commands.add_parser("replay", parents=[common], help="recorded answers of Gnocchi")
    again.add_argument("--backend", choices=["files", "servers", "both"], default="both", **where)
    again.add_argument("--recorded", default=replay.RECORDED, help="scenes and answers [%(default)s]")

    random = commands.add_parser("compare", parents=[common], help="random requests to Nephos and to a real Gnocchi")
    random.add_argument("--backend", choices=["files", "servers"], default="files", **where)
    random.add_argument("--seed", type=int, default=1, help="of the first scene [%(default)s]")
    random.add_argument("--cases", type=int, default=2400, help="how many requests are compared [%(default)s]")
    random.add_argument("--record", help="write scenes and Gnocchi's answers to this file")
    return parser.parse_args()


def main():
    # Whoever ends this ends the servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    if options.command == "suites":
        # The only one that needs packages which are not Python's own.
        from . import suites
        return suites.main(options)
    if options.command == "replay":
        return replay.main(options)
    from . import compare
    return compare.main(options)


if __name__ == "__main__":
    sys.exit(main())
