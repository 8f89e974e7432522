"""Encode a folder by the workers of a Ray cluster, one shard a task, and merge the parts.

    python ray_encode.py FOLDER MODEL PLACE SHARDS

FOLDER, MODEL and PLACE must stand under the same names on every machine. A task that dies is run again, on another
machine if need be, and goes on where its part's codes.h5.work left off.
"""

import subprocess
import sys

import ray

DONE = (0, 3)  # 3: some images gave no code; they are listed beside the part


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def encode(folder: str, model: str, place: str, number: int, count: int) -> str:
    part = f"{place}/part-{number:04d}.h5"
    command = ["encode", folder, "--model", model, "--shard", f"{number}/{count}", "-o", part, "-q"]
    code = subprocess.run([sys.executable, "-m", "ganhash_cli", *command]).returncode
    if code not in DONE:
        raise RuntimeError(f"shard {number}/{count} ended with exit code {code}")
    return part


if __name__ == "__main__":
    folder, model, place, count = *sys.argv[1:4], int(sys.argv[4])
    ray.init(ignore_reinit_error=True)
    parts = ray.get([encode.remote(folder, model, place, number, count) for number in range(1, count + 1)])
    merge = [sys.executable, "-m", "ganhash_cli", "merge", *parts, "-o", f"{place}/codes.h5"]
    sys.exit(subprocess.run(merge).returncode)
