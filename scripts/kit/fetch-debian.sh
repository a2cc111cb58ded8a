#!/usr/bin/env bash
# fetch-debian.sh DEST "SUITE..." "PROGRAM-GLOB..." PACKAGE...
# Unpacks PACKAGEs of the Debian SUITEs together with every library they need, libc included, into DEST, and burns the
# private loader and libraries into the programs that match the globs (relative to DEST). They then run on any Linux
# with the same CPU, whatever its glibc. DEST is an empty folder that is there already. A package written with a trailing
# "?" is left out where the suite has none.
# Changes nothing else: own apt state, no dpkg install, no service; root is not needed. DEST must not be moved afterwards.
# Exit 2 means: this machine has no way to Debian packages (the caller then looks for something else).
set -euo pipefail
dest=$(realpath -m "$1") suites=$2 programs=$3
shift 3

mirror='' security=''
# apt's own words may name the mirror: they are shown only with its name taken out.
hide_mirror() {
  local uri host
  local -a words=(-e 's#[a-z]*://[^ /]*#MIRROR#g')
  for uri in "$mirror" "$security"; do
    host=${uri#*://} host=${host%%/*} host=${host##*@}
    [ -z "$host" ] || words+=(-e "s#${host//./\\.}#MIRROR#g" -e "s#${host%%:*}#MIRROR#g")
  done
  sed "${words[@]}"
}
cannot() { echo "$1" >&2; exit 2; }

for tool in apt-get apt-cache dpkg dpkg-deb xz; do
  command -v "$tool" >/dev/null || cannot "no $tool on this machine, so Debian packages cannot be unpacked here"
done

# The machine's own Debian mirror, never a host written here.
os() { . /etc/os-release; echo "${!1:-}"; }
apt_uris() {
  apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -v cdrom: | sort -u
}
if [ "$(os ID)" = debian ]; then
  code=$(os VERSION_CODENAME)
  # Other repositories may carry the same code name: a URI that ends in /debian is preferred.
  mirror=$(apt_uris | awk -v c="$code" '$1=="main" && $2==c {a=a?a:$3; if ($3 ~ /debian\/?$/) {b=b?b:$3}} END {print b?b:a}')
  security=$(apt_uris | awk -v c="$code-security" '$1=="main" && $2==c {print $3; exit}')
fi
mirror=${PGCONVOY_DEBIAN_MIRROR:-$mirror} security=${PGCONVOY_DEBIAN_SECURITY:-$security}
keyring=${PGCONVOY_DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
[ -n "$mirror" ] || cannot "no Debian mirror in this machine's apt sources (PGCONVOY_DEBIAN_MIRROR names one)"
[ -r "$keyring" ] || cannot "no $keyring (apt-get install debian-archive-keyring, or PGCONVOY_DEBIAN_KEYRING names one)"

apt=$(mktemp -d "${TMPDIR:-/tmp}/pgconvoy-apt.XXXXXX")
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt"/{lists/partial,archives/partial,debs,prefs}
for suite in $suites; do
  echo "deb [signed-by=$keyring] $mirror $suite main"
  case $suite in
    sid | experimental | forky) ;; # not released yet: they have no security suite
    *) [ -z "$security" ] || echo "deb [signed-by=$keyring] $security $suite-security main" ;;
  esac
done >"$apt/sources.list"

# A stub stands for what a private server does not need (JIT, debconf, perl wrappers, init): only libraries are fetched.
stub="postgresql-common postgresql-client-common locales ssl-cert tzdata debconf debconf-2.0 sensible-utils readline-common
  adduser lsb-base sysvinit-utils init-system-helpers procps $(printf 'libllvm%s ' {7..25})"
{
  printf 'Package: pgconvoy-stub\nStatus: install ok installed\nVersion: 1\nArchitecture: %s\n' "$(dpkg --print-architecture)"
  printf 'Maintainer: none <none@localhost>\nDescription: stub\nProvides: %s\n\n' "$(printf '%s (= 99:99), ' $stub | sed 's/, $//')"
} >"$apt/status"

options=(-q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$apt/prefs" -o Dir::State::lists="$apt/lists"
  -o Dir::State::status="$apt/status" -o Dir::Cache::archives="$apt/archives" -o Dir::Cache::pkgcache=
  -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Install-Recommends=false
  -o APT::Default-Release= -o Debug::NoLocking=true -o APT::Sandbox::User=root)
quietly() {
  "$@" >>"$apt/log" 2>&1 || {
    # An update that reaches nothing only warns: the reason of what fails now may stand further up.
    grep -E '^(E|W|Err)' "$apt/log" | sort -u | tail -n 5 | hide_mirror >&2
    exit 1
  }
}
quietly apt-get "${options[@]}" update

wanted=()
for package in "$@"; do
  name=${package%\?}
  if [ "$name" = "$package" ] || apt-cache "${options[@]}" show "$name" >/dev/null 2>&1; then wanted+=("$name"); fi
done
quietly apt-get "${options[@]}" install -s "${wanted[@]}" patchelf
closure=$(awk '/^Inst/{print $2}' "$apt/log")
cd "$apt/debs"
quietly apt-get "${options[@]}" download $closure
for deb in *.deb; do
  # Whoever fetches next takes the folder away from a fetch that nobody waits for any more.
  [ -d "$dest" ] || { echo "$dest is not there (any more)" >&2; exit 1; }
  dpkg-deb -x "$deb" "$dest"
done
cd "$dest"
rm -rf usr/share/{doc,man,locale,lintian} usr/lib/postgresql/*/lib/bitcode usr/lib/postgresql/*/lib/llvmjit*

# DT_RPATH, not RUNPATH, so that the libraries that extensions load later are found as well.
libraries=$(find "$dest" -maxdepth 3 -type d -path '*/lib/*-linux-gnu*' | sort | paste -sd:)
loader=$(find "$dest" -path '*-linux-gnu*/ld-linux*.so.*' | sort | head -n 1)
patchelf() { "$loader" --library-path "$libraries" usr/bin/patchelf "$@"; }
for program in $programs; do
  [ -f "$program" ] && [ ! -L "$program" ] && [ "$(head -c4 "$program" | tail -c3)" = ELF ] || continue
  patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program"
done
# A library that names folders itself looks for what it needs there and nowhere else.
for library in $(find usr/lib/*-linux-gnu* -maxdepth 1 -type f -name '*.so*'); do
  folders=$(patchelf --print-rpath "$library" 2>/dev/null) || continue
  case $folders in
    /*) patchelf --set-rpath "$dest${folders//:\//:$dest/}:$libraries" "$library" ;;
  esac
done
