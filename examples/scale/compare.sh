#!/bin/sh
# Brings codes into an index, asks it and the codes file for the same images, and compares the distances:
#     sh compare.sh codes.h5 folder/ postgresql://me@host/photos
#     sh compare.sh codes.h5 folder/ milvus://host:19530
set -eu

codes=$1 queries=$2 url=$3
place=$(mktemp -d)
trap 'rm -r "$place"' EXIT

ganhash push "$codes" --to "$url"
ganhash query "$queries" -k 10 --codes "$codes" --index exact --json >"$place/file"
ganhash query "$queries" -k 10 --index "$url" -I method=exact --json >"$place/index"
for answer in file index; do
    sed 's/.*"distance": \([0-9]*\).*/\1/' "$place/$answer" >"$place/$answer.distances"
done
cmp "$place/file.distances" "$place/index.distances"
echo "$(wc -l <"$place/index.distances") neighbours: the distances of the index are those of the codes file"
