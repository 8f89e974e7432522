"""Codes for a folder and the images nearest to one of them, without a command line: MODEL FOLDER IMAGE."""

import os
import sys
from pathlib import Path

import ganhash_cli as ganhash

model, folder, image = map(Path, sys.argv[1:])

bundle = ganhash.Bundle.open(model)
codes = Path("codes.h5")
database = ganhash.images.database_part(ganhash.images.collect(folder))  # but for rows of a CSV marked test or query
ganhash.finish(ganhash.encode(bundle, database, codes))  # new and changed images only

runtime = ganhash.open_runtime(bundle)
queries = ganhash.finish(ganhash.hash_queries(runtime, ganhash.images.collect(image), bundle.side))
with ganhash.open_codes(codes) as stored:
    for answer in ganhash.answer(stored, queries, k=5):
        for hit in answer.hits:
            print(hit.rank, f"{hit.distance}/{hit.bits}", os.fsdecode(hit.path), hit.label, sep="\t")
