#!/bin/sh
# From nothing to similar images in four commands; run it in an empty folder.
set -eu

run() {
  printf '\n$ %s\n' "$*"
  "$@"
}

# Images to search in, and one to search with. Put your own folder/ and img.jpg here instead.
if [ ! -e folder ]; then
  run ganhash sample sample
  cp -R sample/database folder
  cp sample/query/ankle-boot/0000.png img.jpg # the content counts, not the suffix
  for first in sample/query/*/0000.png; do    # one query of each class, for the contact sheet
    class=$(basename "$(dirname "$first")")
    mkdir -p "queries/$class" && cp "$first" "queries/$class/"
  done
fi

run ganhash generate
run ganhash train
run ganhash encode folder/ -o codes.h5
run ganhash query img.jpg

if [ -e queries ]; then shown=queries; else shown=img.jpg; fi
ganhash query "$shown" -q -f --sheet neighbours.png >/dev/null

printf '\ncontact sheet, queries left and their neighbours right: %s\n' "$PWD/neighbours.png"
