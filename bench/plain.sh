#!/usr/bin/env bash
# What an operator would write without pgconvoy: pg_dump, psql and CREATE SUBSCRIPTION, JOBS databases at a time.
#   plain.sh start JOBS DATABASE...      until every table of every database streams
#   plain.sh cutover JOBS DATABASE...    prints "DATABASE OUTAGE_MS" per database
# Environment: BIN (client programs), PGUSER, PGPASSWORD, SOURCE_PORT, TARGET_PORT; servers on loopback.
set -euo pipefail
what=$1 jobs=$2
shift 2
export PGHOST=127.0.0.1 PGOPTIONS=

source_sql() { "$BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -p "$SOURCE_PORT" -d "$1" "${@:2}"; }
target_sql() { "$BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -p "$TARGET_PORT" -d "$1" "${@:2}"; }

start_one() {
  target_sql postgres -c "create database $1"
  # Servers of the 2026 minors store a column option that newer majors refuse.
  "$BIN/pg_dump" -s -p "$SOURCE_PORT" "$1" | sed -E '/SET \(pg_attver=[0-9]+\);/d' | target_sql "$1" >/dev/null
  source_sql "$1" -c "create publication bench for all tables"
  target_sql "$1" -c "create subscription bench_$1 connection 'host=127.0.0.1 port=$SOURCE_PORT user=$PGUSER password=$PGPASSWORD dbname=$1' publication bench" 2>/dev/null
}

await_one() {
  until [ "$(target_sql "$1" -c "select count(*) filter (where srsubstate <> 'r') = 0 and count(*) > 0 from pg_subscription_rel")" = t ]; do sleep 0.1; done
}

cutover_one() {
  local began lsn
  began=$(date +%s%N)
  source_sql postgres -c "alter database $1 set default_transaction_read_only = on" \
    -c "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '$1' and backend_type = 'client backend'" >/dev/null
  lsn=$(source_sql postgres -c "select pg_current_wal_lsn()")
  until [ "$(source_sql postgres -c "select confirmed_flush_lsn >= '$lsn' from pg_replication_slots where slot_name = 'bench_$1'")" = t ]; do sleep 0.02; done
  source_sql "$1" -c "select format('select setval(%L, %s, %L);', format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value), last_value is not null) from pg_sequences" | target_sql "$1" >/dev/null
  echo "$1 $((($(date +%s%N) - began) / 1000000))"
  target_sql "$1" -c "drop subscription bench_$1" 2>/dev/null
}

export -f source_sql target_sql start_one await_one cutover_one
case $what in
  start)
    printf '%s\n' "$@" | xargs -P "$jobs" -I{} bash -eu -o pipefail -c 'start_one {}'
    for database in "$@"; do await_one "$database"; done
    ;;
  cutover) printf '%s\n' "$@" | xargs -P "$jobs" -I{} bash -eu -o pipefail -c 'cutover_one {}' ;;
esac
