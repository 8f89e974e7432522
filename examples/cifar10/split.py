"""Write a protocol's lists into an unpacked CIFAR-10: `python split.py cifar10-p1 CIFAR-FOLDER`."""

import sys
from pathlib import Path

from ganhash_cli.engine import protocols
from ganhash_cli.errors import GanhashError

if len(sys.argv) != 3:
    sys.exit(f"usage: python split.py {'|'.join(protocols.PROTOCOLS)} CIFAR-FOLDER")
try:
    for part, digest in protocols.write(sys.argv[1], Path(sys.argv[2])).items():
        print(f"{sys.argv[1]}-{part}.csv\t{digest}")
except GanhashError as error:
    sys.exit(f"{error.message}\n{error.hint}")
