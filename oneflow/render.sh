#!/usr/bin/env bash
# Fills the IDs of this OpenNebula into a service template: each @name@ becomes a number.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: render.sh TEMPLATE.json NAME=ID...   (names: grep -o '@[a-z_]*@' TEMPLATE.json)" >&2
    exit 2
fi

text="$(cat "$1")"
shift
for pair in "$@"; do
    name="${pair%%=*}" id="${pair#*=}"
    if [[ ! $id =~ ^[0-9]+$ ]]; then
        echo "render.sh: $pair: expected NAME=ID with a number, for example gateway=12" >&2
        exit 2
    fi
    if [[ $text != *"@$name@"* ]]; then
        echo "render.sh: $pair: the template has no @$name@" >&2
        exit 2
    fi
    # A template's ID is a number without quotes; a network's stands inside a text.
    text="${text//\"@$name@\"/$id}"
    text="${text//@$name@/$id}"
done

if missing="$(grep -o '@[a-z_]*@' <<<"$text" | sort -u | tr '\n' ' ')" && [ -n "$missing" ]; then
    echo "render.sh: no ID given for $missing" >&2
    exit 2
fi
printf '%s\n' "$text"
