#!/usr/bin/python3
"""Makes a bootable image of a manifest and the modules it names.

    tools/iso.py OUT.iso MANIFEST.toml [PATH=VALUE]... [-m NAME=FILE]...

PATH=VALUE are overrides as in tools/derive.py. Modules are looked for as NAME and NAME.elf beside the manifest and
in build/guests; -m says where one is. A manifest with errors makes no image.
"""

import argparse
import sys
from pathlib import Path

import derive
import experiment
import image


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out")
    parser.add_argument("manifest")
    parser.add_argument("overrides", nargs="*", metavar="PATH=VALUE")
    parser.add_argument("-m", "--module", action="append", default=[], metavar="NAME=FILE")
    arguments = parser.parse_args()
    for module in arguments.module:
        name, _, path = module.partition("=")
        if not name or not Path(path).is_file():
            sys.exit(f"iso.py: -m {module}: not NAME=FILE of an existing file")
    modules = dict(module.split("=", 1) for module in arguments.module)
    try:
        experiment.build_image(arguments.out, arguments.manifest, arguments.overrides, modules)
    except (derive.DeriveError, image.ImageError, OSError) as error:
        sys.exit(f"iso.py: {error}")


if __name__ == "__main__":
    main()
