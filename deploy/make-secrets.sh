#!/bin/sh
# Makes the files in secrets/ that docker-compose.yml mounts. What is there already stays as it is.
#
#   sh deploy/make-secrets.sh            asks for the ZenMux key; the gateway uses SQLite
#   sh deploy/make-secrets.sh postgres   the gateway uses the PostgreSQL of the compose file
set -eu

cd "$(dirname "$0")/.."
mkdir -p secrets
# The folder keeps everybody else out. The files in it can be read: Docker mounts them with their owner and mode, and the
# programs in the containers run as users of their own.
chmod 700 secrets
umask 022

for name in metrics_key postgres_password grafana_password; do
  [ -s "secrets/$name" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "secrets/$name"
done

if [ ! -s secrets/zenmux_api_key ]; then
  if [ -t 0 ]; then
    printf 'ZenMux key (sk-ai-v1-...), or nothing to set it later in secrets/zenmux_api_key: ' >&2
    trap 'stty echo' EXIT
    stty -echo
  fi
  read -r key || [ -n "${key:-}" ] || key=""
  printf '%s' "$key" > secrets/zenmux_api_key
fi

if [ "${1:-}" = postgres ]; then
  printf 'postgresql://gateway:%s@postgres/gateway' "$(cat secrets/postgres_password)" > secrets/database_url
elif [ ! -e secrets/database_url ]; then
  : > secrets/database_url
fi
