#!/bin/sh
# Copy a running Redis or Valkey into a file: backup.sh URL DIRECTORY-OF-THE-SERVER FILE
# Run it on the server's host. It asks for a fresh snapshot, waits for it and copies it; nothing stands still meanwhile.
# How to bring it back, and how that is rehearsed: docs/operations/backup.md
set -eu
url=$1 directory=$2 file=$3
client=${REDIS_CLI:-redis-cli}

ask() { "$client" -u "$url" --no-auth-warning "$@"; }

before=$(ask LASTSAVE)
# A save that is under way already would lack what was written since it began: let it end first.
until ask BGSAVE | grep -q started; do sleep 1; done
until [ "$(ask LASTSAVE)" != "$before" ] && ask INFO persistence | grep -q 'rdb_bgsave_in_progress:0'; do sleep 1; done
ask INFO persistence | grep -q 'rdb_last_bgsave_status:ok' || { echo "the snapshot failed; see the server's log" >&2; exit 1; }
cp "$directory/dump.rdb" "$file.part"
mv "$file.part" "$file"
echo "$file"
