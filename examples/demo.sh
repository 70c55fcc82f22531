#!/bin/bash
#
# The module at work: a private Redis and an nginx under run/, the examples'
# configuration, the example events, and the runs that come of them.
#
#   demo.sh start       leaves both serving
#   demo.sh stop
#
# PORT (8080), REDIS_SERVER and KNOCK_NGINX say which to use, RUN another folder
# than run/.  All of it listens on loopback; with LISTEN, an address of this
# machine or 0.0.0.0, the endpoints' URLs are reached there as well.

set -euo pipefail

cd "$(dirname "$0")/.."

root=$PWD
run=${RUN:-$root/run}
port=${PORT:-8080}
listen=${LISTEN:+$LISTEN:$port}
redis_server=${REDIS_SERVER:-redis-server}
nginx=${KNOCK_NGINX:-/usr/sbin/nginx}
api=http://127.0.0.1:$port/v1

redis() {
    redis-cli -e -s "$run/redis.sock" "$@"
}

# wait_until SECONDS COMMAND ...

wait_until() {
    local end=$((SECONDS + $1))
    shift

    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# the process of a pid file, if it is still one of ours

running() {
    local pid

    pid=$(cat "$run/$1.pid" 2> /dev/null) || return 1
    grep -qF "$run" "/proc/$pid/cmdline" 2> /dev/null && echo "$pid"
}

gone() {
    [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

stop() {
    local name pid

    for name in nginx redis; do
        pid=$(running $name) || continue

        kill -s "$([ $name = nginx ] && echo QUIT || echo TERM)" "$pid"
        wait_until 10 gone "$pid" || kill -s KILL "$pid"
        rm -f "$run/$name.pid"
        echo "$name stopped"
    done
}

start_servers() {
    local user=

    if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
        echo "port $port is in use: make demo PORT=..." >&2
        exit 1
    fi

    rm -rf "$run"
    mkdir -p "$run"

    # as root nginx would take other rights for its workers, which may not
    # reach this folder
    [ "$(id -u)" -ne 0 ] || user='user root;'

    # a key of its own, of which nginx gets the hash

    key=$(openssl rand -hex 16)
    printf %s "$key" | sha256sum | cut -d ' ' -f 1 > "$run/api-keys"

    sed -e "s,@USER@,$user," -e "s,@RUN@,$run,g" -e "s,@PORT@,$port," \
        -e "s,@LISTEN@,${listen:-unix:$run/endpoints.sock}," \
        -e "s,@MODULE@,$root/build/ngx_knock_module.so," \
        -e "s,@ROOT@,$root," \
        examples/nginx.conf > "$run/nginx.conf"

    "$redis_server" --port 0 --unixsocket "$run/redis.sock" \
        --unixsocketperm 700 --dir "$run" --pidfile "$run/redis.pid" \
        --logfile "$run/redis.log" --save '' --appendonly no \
        --maxmemory-policy noeviction --daemonize yes > /dev/null

    if ! wait_until 10 redis PING; then
        cat "$run/redis.log" >&2
        exit 1
    fi

    # it keeps its output open, on which a pipe behind us would wait

    if ! "$nginx" -e "$run/error.log" -c "$run/nginx.conf" \
         > "$run/start.log" 2>&1
    then
        cat "$run/start.log" >&2
        exit 1
    fi

    wait_until 10 curl -s "http://127.0.0.1:$port/"
}


# api METHOD PATH [BODY]: a call of the control API, its answer on stdout; an
# error ends the demonstration.

api() {
    local answer

    if ! answer=$(curl -sS --fail-with-body -X "$1" \
                       -H "Authorization: Bearer $key" \
                       -H 'Content-Type: application/json' \
                       ${3:+--data-binary "$3"} "$api$2")
    then
        echo "$1 $2: $answer" >&2
        return 1
    fi

    echo "$answer"
}

# The example source, workflows and actions, committed, and a user.

configure() {
    local file name

    api POST /sources '{"key":"segment","kind":"segment","name":"Segment"}'
    api PATCH /sources/segment/environments/development \
        '{"identify_enabled":true}'

    for file in examples/workflows/*.json examples/actions/*.json; do
        name=$(basename "$file" .json)
        api PUT "/$(basename "$(dirname "$file")")/$name" "@$file"
    done

    api POST /commits '{"message":"The examples","author":"make demo"}'

    api PUT /environments/development/users/u9 \
        '{"name":"Ulla Nine","email":"ulla@example.com"}'
}


post() {
    local file

    for file; do
        printf '%-38s ' "$(basename "$file")"
        curl -sS -H 'Content-Type: application/json' \
             -A 'Segment (Actions)' --data-binary "@$file" "$url"
    done
}


case ${1:-} in

start)
    stop
    start_servers
    trap 'stop > /dev/null' ERR

    configure > "$run/api.log"

    url=$(api GET /sources/segment/environments/development | jq -r .url)

    echo
    echo "Segment's events, and what they are answered with:"
    echo

    # who is to be notified by id must have been identified before

    cd examples/events
    post identify*.json track-*.json batch*.json page.json screen.json \
         group.json alias.json
    cd "$root"

    echo
    echo 'The runs in knock:{development}:runs, newest first, without "data":'
    echo

    api GET /environments/development/runs | jq -c '.items[] | del(.data)'

    echo
    echo "Serving $url"
    echo "Page:   http://127.0.0.1:$port/dashboard/ with the API key $key"
    echo "API:    curl -H 'Authorization: Bearer $key' $api/sources"
    echo "Redis:  redis-cli -s $run/redis.sock"
    [ -z "$listen" ] \
        || echo "Listening to others at $listen: for endpoints' URLs alone"
    echo "until   make stop"
    ;;

stop)
    stop
    ;;

*)
    echo "usage: $0 start|stop" >&2
    exit 2
    ;;
esac
