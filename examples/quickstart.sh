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
fi

run ganhash generate
run ganhash train
run ganhash encode folder/ -o codes.h5
run ganhash query img.jpg --codes codes.h5 --sheet neighbours.png

printf '\ncontact sheet, the query left and its neighbours right: %s\n' "$PWD/neighbours.png"
