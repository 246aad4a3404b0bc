#!/usr/bin/python3
"""Boots a manifest in an emulator, shows the guests' progress, and ends with the summary.

    tools/run.py [--backend qemu|kvm|bochs] [--cpus N] [--memory MIB] [--timeout SECONDS]
                 [--manifest FILE] [PATH=VALUE]...

PATH=VALUE are overrides as in tools/derive.py. Without --backend, KVM is taken where its nested virtualization
works, else QEMU's TCG with AMD-V; bochs is VT-x. The status is 0 when every guest verified its results, or powered off,
and the audit found nothing.
"""

import argparse
import sys
import time

import derive
import emulator
import experiment
import image
import serial_log



def show(started, line):
    """One line of the log for people, with the time since the start of the emulator."""
    text = serial_log.text_of(line)
    if not text.strip() or text.startswith("stat: "):
        return
    print(f"{time.monotonic() - started:6.1f}  {text}", flush=True)


def arguments_of(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", default="")
    parser.add_argument("--model", default="", help="CPU model of the emulator")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", type=int, default=experiment.MEMORY)
    parser.add_argument("--timeout", type=int, default=0)
    parser.add_argument("--manifest", default=experiment.MANIFEST)
    parser.add_argument("overrides", nargs="*", metavar="PATH=VALUE")
    return parser.parse_args(argv)


def main(argv):
    arguments = arguments_of(argv)
    log_path = image.BUILD / "run.log"
    try:
        backend = emulator.choose_backend(arguments.backend)
        machine = emulator.Machine(
            backend, arguments.model, arguments.cpus, arguments.memory, instruction_ns=1 if arguments.cpus == 1 else 0
        )
        timeout = arguments.timeout or (1800 if backend == "bochs" else 300)
        iso = experiment.build_image(image.BUILD / "run.iso", arguments.manifest, arguments.overrides)
        print(f"running on {machine}, at most {timeout} s; the whole log will be in {log_path}")
        started = time.monotonic()
        outcome = experiment.run(iso, machine, timeout, lambda line: show(started, line))
    except emulator.EmulatorTimeout as error:
        log_path.write_text("\n".join(error.log) + "\n", encoding="utf-8")
        sys.exit(f"run.py: {error}")
    except (emulator.EmulatorError, image.ImageError, derive.DeriveError) as error:
        sys.exit(f"run.py: {error}")
    except KeyboardInterrupt:
        sys.exit("run.py: interrupted")
    log_path.write_text("\n".join(outcome.log) + "\n", encoding="utf-8")
    complaints = outcome.complaints()
    for complaint in complaints:
        print(f"run.py: {complaint}", file=sys.stderr)
    if complaints:
        sys.exit(1)
    names = [name for name, figures in outcome.guests.items() if name != "total" and figures.get("verified") != 1]
    told = f"powered off: {', '.join(names)}; all else verified" if names else "all results verified"
    print(f"{told}, the audit is clean ({outcome.seconds:.0f} s)")


if __name__ == "__main__":
    main(sys.argv[1:])
