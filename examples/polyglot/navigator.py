"""The navigator (Python) works out where a sighting is, whether the ship has met its like before, and what it means."""

import coma

BEARINGS = {"ahead": 0, "to starboard": 90, "astern": 180, "to port": 270}
DANGERS = ("reef", "ice", "rocks")
LIKE = 0.2  # the distance in meaning below which two entries in the log tell of the same


def where(sighting):
    """Splits "a reef ahead" into what it is and its bearing from the bow, in degrees; None where it says none."""
    for words, bearing in BEARINGS.items():
        if sighting.endswith(" " + words):
            return sighting[: -len(words) - 1], bearing
    return sighting, None


with coma.connect() as ship:
    for message in ship:
        what, bearing = where(message.text.strip())
        if bearing is None:
            ship.send("captain", f"nobody knows where {what} is")
            continue
        danger = any(word in what.split() for word in DANGERS)

        entry = f"we met {what}: a danger" if danger else f"we met {what}"
        known = ship.memory.query(entry, 1, coma.key("by").equal("navigator"))
        again = bool(known) and known[0].distance < LIKE
        ship.memory.add(entry, {"by": "navigator", "bearing": bearing, "danger": danger})

        print(f"{what}, {bearing:03}°" + (", again" if again else ""))
        ship.send_json("helm", {"what": what, "bearing": bearing, "danger": danger, "again": again})
