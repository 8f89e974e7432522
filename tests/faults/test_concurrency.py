"""Who reads sees one committed version, who writes writes alone, and a lock of the dead holds nothing."""

import errno
import fcntl
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

import forked
import scenes
from ganhash_cli.engine import codes, files
from ganhash_cli.engine.scan import numpy_scan
from reliability_card import record
from scenes import Scene
