#!/bin/sh
# What the tests need beside Python: the programs of a PostgreSQL server. Installs them where it may
# (root, apt), else says loudly what will be left out. Never fails: a newcomer is green without them.
set -eu

have_postgresql() {
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && return 0
    done
    command -v initdb >/dev/null
}

# The Debian package starts a server of its own; this keeps it from doing so while we install it.
install_without_starting() {
    policy=/usr/sbin/policy-rc.d
    ours=
    if [ ! -e "$policy" ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends postgresql
    status=$?
    [ -z "$ours" ] || rm -f "$policy"
    return "$status"
}

have_postgresql && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing PostgreSQL for the tests ..."
    (install_without_starting) </dev/null >/dev/null || true
fi
have_postgresql && exit 0
cat >&2 <<'END'
************************************************************************
  No PostgreSQL server programs (initdb, postgres) were found.
  The tests marked `postgresql` will be LEFT OUT.
  To run them:  apt-get install postgresql   (or your system's package)
************************************************************************
END
