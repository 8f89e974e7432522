#!/bin/sh
# CIFAR-10, protocols P1 and P1': fakes, training, encoding and evaluation. Run it in a folder of its own; it resumes.
#
#   sh run.sh CIFAR-FOLDER [BITS ...]    CIFAR-FOLDER holds train/CLASS/*.jpg and test/CLASS/*.jpg, 60,000 images;
#                                        codes have 48 bits where no length is named, else each of those named
#
# GANHASH_ENCODE_RUNTIME=openvino, where it is installed, encodes the database faster; the record notes it.
# On one core that computes in bfloat16 each length takes about an hour, most of it training.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
images=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- 48

run() {
  printf "\n$ %s\n" "$*" >&2
  "$@"
}

run python "$here/split.py" cifar10-p1 "$images"
run python "$here/split.py" cifar10-p1prime "$images"
run ganhash generate "$images/cifar10-p1-train.csv" --steps 8000 --flips --count 5000
for bits in "$@"; do
  run ganhash train "$images/cifar10-p1-train.csv" --bits "$bits" --model "model-$bits" -B drop_path=0.1 --size 224 \
    --loss greedyhash -L penalty=0.3 --learning-rate 5e-4 --augment trivial --mirrored --epochs 20 --validation 0 \
    --precision bfloat16 --entropy-weight 0.1 --fakes-per-real 0.125
  # P1' has the training images in the database too: they alone are encoded for it.
  for protocol in cifar10-p1 cifar10-p1prime; do
    run ganhash encode "$images/$protocol-database.csv" --model "model-$bits" -o "codes-$bits.h5"
    run ganhash evaluate --queries "$images/$protocol-query.csv" --model "model-$bits" --codes "codes-$bits.h5" \
      --plot "$protocol-$bits.png" --csv "$protocol-$bits.csv" --json >"$protocol-$bits.json"
  done
done
run python "$here/record.py" "$images" cifar10.json "$@"
