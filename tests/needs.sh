#!/bin/sh
# What the tests need beside Python. Installs it where it may (root, apt), else says loudly what will be
# left out. Never starts a service, and never fails: a newcomer is green without any of it.
set -eu

# One row a group: its name; what shows that it is here (programs, or patterns of files); Debian's
# packages; what is left out without it.
NEEDS='
PostgreSQL;/usr/lib/postgresql/*/bin/initdb|/usr/pgsql-*/bin/initdb|initdb;postgresql;the tests marked `postgresql`
Slurm;slurmctld slurmd slurmdbd sacct sacctmgr sreport munged munge mariadbd mariadb-install-db /usr/lib/*/slurm*/accounting_storage_mysql.so;slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins slurm-wlm-mysql-plugin munge mariadb-server;the tests marked `slurm` (root needed, too): usage against a real Slurm
Prometheus;prometheus promtool prometheus-alertmanager amtool;prometheus prometheus-alertmanager;metrics, rules and alerts in a real Prometheus
Chromium;chromium /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf;chromium fonts-dejavu-core;the portal in a real browser
LibreOffice;soffice pdftoppm /usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf;libreoffice-calc poppler-utils fonts-liberation;reports opened in an office program
PDF;pdftotext pdftoppm pdffonts pdfinfo qpdf;poppler-utils qpdf;reports as PDF, read and checked by other programs
systemd;systemd-analyze systemd-sysusers systemd-tmpfiles;systemd;the units of a site, read by systemd
OpenSSL;openssl;openssl;metrics pages over TLS
C compiler;gcc /usr/include/stdio.h;gcc libc6-dev;the node agent beside a fake NVML
'
PATH="$PATH:/usr/sbin:/sbin"

# Is a program or a file here? Of alternatives (a|b) one is enough.
here() {
    for one in $(echo "$1" | tr '|' ' '); do  # not quoted: patterns become files
        case "$one" in
            /*) [ ! -e "$one" ] || return 0 ;;
            *) command -v "$one" >/dev/null && return 0 ;;
        esac
    done
    return 1
}

all_here() (
    set -f
    for one in $1; do
        (set +f; here "$one") || return 1
    done
)

# Debian's packages start their services; this keeps them from doing so while we install.
install_without_starting() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@"
)

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

left_out() {
    cat >&2 <<END
************************************************************************
  $1 was not found. LEFT OUT: $3.
  To run them:  apt-get install $2
************************************************************************
END
}

updated=
echo "$NEEDS" | while IFS=';' read -r name signs packages without; do
    if [ -z "$name" ] || all_here "$signs"; then continue; fi
    if may_install; then
        echo "Installing $name for the tests ..."
        [ -n "$updated" ] || apt-get -qq update </dev/null >/dev/null || true
        updated=yes
        set -f  # words, not patterns
        install_without_starting $packages </dev/null >/dev/null || true
        set +f
    fi
    all_here "$signs" || left_out "$name" "$packages" "$without"
done
