#!/bin/sh
# CIFAR-10, protocol P1: fakes, training, encoding and evaluation. Run it in a folder of its own; it resumes.
#
#   sh run.sh CIFAR-FOLDER      CIFAR-FOLDER holds train/CLASS/*.jpg and test/CLASS/*.jpg, 60,000 images
#
# On two cores without a GPU it takes about two hours, most of it training.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
images=$(cd "$1" && pwd)

run() {
  printf "\n$ %s\n" "$*" >&2
  "$@"
}

run python "$here/split.py" cifar10-p1 "$images"
run python "$here/split.py" cifar10-p1prime "$images"
run ganhash generate "$images/cifar10-p1-train.csv" --steps 4000 --flips --learning-rate 1e-3
run ganhash train "$images/cifar10-p1-train.csv" -B drop_path=0.1 --size 224 --loss orthohash --augment trivial --epochs 20 \
  --validation 0 --precision bfloat16 --entropy-weight 0.1 --fakes-per-real 0.125
# P1' has the training images in the database too: taking them out again for P1 encodes nothing anew.
for protocol in cifar10-p1prime cifar10-p1; do
  run ganhash encode "$images/$protocol-database.csv"
  run ganhash evaluate --queries "$images/$protocol-query.csv" --codes codes.h5 --plot "$protocol.png" --csv "$protocol.csv" --json >"$protocol.json"
done
run python "$here/record.py" "$images" cifar10.json
