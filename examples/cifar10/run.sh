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
run ganhash generate "$images/cifar10-p1-train.csv" --steps 4000 --flips
run ganhash train "$images/cifar10-p1-train.csv" --loss csq --size 160 --epochs 16
for protocol in cifar10-p1 cifar10-p1prime; do
  run ganhash encode "$images/$protocol-database.csv" -o "$protocol.h5"
  run ganhash evaluate --queries "$images/$protocol-query.csv" --codes "$protocol.h5" --json >"$protocol.json"
done
run python "$here/record.py" "$images" cifar10.json
