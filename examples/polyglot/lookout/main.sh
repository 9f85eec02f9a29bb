#!/bin/sh
# The lookout (shell) sees something now and then, and calls it out to navigator. Which line of sightings.txt comes next
# is kept: a reload, or a new watch tomorrow, goes on there.

coma memory add "a new watch began in the crow's nest" --meta by=lookout >/dev/null

seen=$(coma kept seen --default 0)
while :; do
    line=$((seen % $(grep -c . sightings.txt) + 1))
    sighting=$(sed -n "${line}p" sightings.txt)
    echo "$sighting!"
    coma send navigator "$sighting"
    seen=$((seen + 1))
    coma keep seen "$seen"
    sleep "$PAUSE"
done
