#!/bin/sh
# curl through the proxy. Arguments: the API's base at the proxy, and a step.
set -eu
base=$1
case $2 in
one) curl --silent --show-error --fail "$base/events?page_size=1" ;;
upload)
    size=$(head -c 100000 /dev/zero | curl --silent --show-error --fail --data-binary @- "$base/uploads" |
        sed 's/.*"size":\([0-9]*\).*/\1/')
    [ "$size" = 100000 ]
    ;;
paging)
    url="$base/events?page_size=10"
    seen=0
    while [ -n "$url" ]; do
        page=$(curl --silent --show-error --fail "$url")
        seen=$((seen + $(printf %s "$page" | grep -o '"starts_at"' | wc -l)))
        url=$(printf %s "$page" | sed -n 's/.*"next":"\([^"]*\)".*/\1/p')
    done
    [ "$seen" = 25 ]
    ;;
fifty)
    curl --silent --show-error --fail --parallel --parallel-immediate --parallel-max 50 \
        --output /dev/null "$base/events?call=[1-50]"
    ;;
esac
