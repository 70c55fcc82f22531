#!/usr/bin/env bash
# Holds the runner in t/lib against CPAN's Test::Nginx::Socket: runs the files
# below with both and compares what they report, test by test, and how they
# exit. What is reported is also recorded in expected/, so that there is
# something to hold the runner against where the real one is not installed.
#
#   compare.sh             exits 0 if all is alike
#   compare.sh --record    writes expected/ anew, from the real one
#
# t/runner/*.t pass; those in failing/ fail, which is compared as well. What is
# in own/ the real one does otherwise, or not at all.

set -u
cd "$(dirname "$0")/../.." || exit 2

export PATH=$PATH:/usr/sbin LC_ALL=C
unset TEST_NGINX_SERVROOT TEST_NGINX_PORT TEST_NGINX_SERVER_PORT
here=t/runner
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

real=
perl -MTest::Nginx::Socket -e1 2>/dev/null && real=1

# The real one waits for its servers to be reaped by process 1, which in a
# container may be nobody who does that. tini does.
reaper=
command -v tini >/dev/null && reaper='tini -s --'

free_port() {
    perl -MIO::Socket::INET -e '
        print IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1)
            ->sockport'
}

# The tests without their numbers, in no order, since blocks and headers are
# shuffled; without what differs from run to run; and the exit status.
normalise() {
    grep -E '^(ok|not ok|1\.\.|Bail out)' "$1" | sed -E '
        s/^(not ok|ok) [0-9]+/\1/
        s/(matches line ")[^"]*.*/\1.../
        s/(client socket timed out|Connection refused).*/\1/
        s/127\.0\.0\.1:[0-9]+/127.0.0.1:PORT/g
        s/nginx\/[0-9.]+/nginx/g
        s/, near .*//
        s/[[:space:]]+$//' | sort
    echo "exit status $2"
}

# run ours|real FILE: prints the normalised report.
run() {
    local status
    if [ "$1" = ours ]; then
        TEST_NGINX_SERVROOT=$work/servroot \
            perl -It/lib "$2" >"$work/out" 2>"$work/$1.err"
    else
        TEST_NGINX_SERVROOT=$work/servroot TEST_NGINX_PORT=$(free_port) \
            $reaper perl "$2" >"$work/out" 2>"$work/$1.err"
    fi
    status=$?
    normalise "$work/out" "$status"
}

alike=0 unlike=0

# compare WHAT WANTED GOT
compare() {
    if diff -u "$2" "$3" >"$work/diff"; then
        alike=$((alike + 1))
        echo "alike   $1"
    else
        unlike=$((unlike + 1))
        echo "UNLIKE  $1"
        sed 's/^/    /' "$work/diff"
        sed 's/^/    stderr: /' "$work/ours.err" | tail -n 20
    fi
}

record=
if [ "${1-}" = --record ]; then
    record=1
    if [ -z "$real" ]; then
        echo 'compare.sh: Test::Nginx::Socket is not installed' >&2
        exit 2
    fi
fi

for file in "$here"/*.t "$here"/failing/*.blocks "$here"/own/*; do
    name=${file#"$here/"}
    tap=$here/expected/$(echo "${name%.*}" | tr / -).tap

    case $name in
        own/*) held_against='' ;;
        *) held_against=$real ;;
    esac

    run ours "$file" >"$work/ours"

    if [ -n "$held_against" ]; then
        run real "$file" >"$work/real"
        compare "$name, with the real one" "$work/real" "$work/ours"
        [ -z "$record" ] || cp "$work/real" "$tap"
    elif [ -n "$record" ]; then
        cp "$work/ours" "$tap"
    fi

    if [ -f "$tap" ]; then
        compare "$name, with what is recorded" "$tap" "$work/ours"
    else
        unlike=$((unlike + 1))
        echo "UNLIKE  $name: nothing is recorded, use --record"
    fi
done

[ -n "$real" ] || echo 'Test::Nginx::Socket is not installed: compared with' \
    'what is recorded only'
echo "$alike passed, $unlike failed"
[ "$unlike" = 0 ] && [ "$alike" -gt 0 ]
