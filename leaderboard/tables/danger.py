"""How dangerous it is to read one traffic sign as another, so that a page shows the worst confusions first.

The ranking is ours: it asks what a driver who believes the wrong sign would do, and to whom.

== ==============================================================================================================
4  somebody has the right of way and does not get it, or a closed road is entered: stop or yield read as neither of
   them (nor as a closed road); no entry or no vehicles read as an open road
3  people or lights are not expected (pedestrians, children, bicycles or traffic lights read as no warning at all),
   one drives faster than allowed (a speed limit read as a higher one, or as the end of one), or on the wrong side
   (keep right and keep left)
2  a limit, a ban, a warning or a direction is lost or wrong; stop read as yield
1  more caution than needed, or no harm to be seen: a lower speed limit, a warning of something else, a right that is
   not used
== ==============================================================================================================

Data sets with other classes have no such ranking: all their confusions are of danger 0 and come by number.
"""

from __future__ import annotations

from collections.abc import Sequence

GIVE_WAY = frozenset({"stop", "yield"})
CLOSED = frozenset({"no entry", "no vehicles"})
LIMITS = {f"speed limit {kmh}": kmh for kmh in (20, 30, 50, 60, 70, 80, 100, 120)}
ENDS = frozenset(
    {"end of speed limit 80", "end of all limits", "end of no overtaking", "end of no overtaking for trucks"}
)
FASTER = frozenset({"end of speed limit 80", "end of all limits"})
BANS = frozenset({"no overtaking", "no overtaking for trucks", "no trucks"})
LIVES = frozenset({"pedestrians", "children", "bicycles", "traffic lights"})
WARNINGS = LIVES | {
    "danger", "curve to the left", "curve to the right", "double curve", "bumpy road", "slippery road",
    "road narrows on the right", "road works", "snow or ice", "wild animals",
}  # fmt: skip
SIDES = frozenset({"keep right", "keep left"})
DIRECTIONS = SIDES | {
    "turn right ahead", "turn left ahead", "ahead only", "ahead or right", "ahead or left", "roundabout",
}  # fmt: skip
RIGHTS = frozenset({"priority road", "priority at next crossing"})
KNOWN = GIVE_WAY | CLOSED | LIMITS.keys() | ENDS | BANS | WARNINGS | DIRECTIONS | RIGHTS


def ranked(classes: Sequence[str]) -> bool:
    """Whether the classes are traffic signs that the ranking knows, all of them."""
    return bool(classes) and set(classes) <= KNOWN


def danger(sign: str, read_as: str) -> tuple[int, str]:
    """The danger, 1 to 4, of reading `sign` as `read_as`, two different signs of `KNOWN`, and what it is."""
    if sign in GIVE_WAY:
        if read_as not in GIVE_WAY | CLOSED:
            return 4, "does not give way"
        return (2, "does not stop") if read_as == "yield" else (1, "stops without need")
    if sign in CLOSED:
        return (1, "stays out for another reason") if read_as in CLOSED else (4, "enters a closed road")
    if sign in LIMITS:
        return _limit(LIMITS[sign], read_as)
    if sign in WARNINGS:
        return _warning(sign, read_as)
    if sign in BANS:
        return _ban(sign, read_as)
    if sign in DIRECTIONS:
        return (3, "drives on the wrong side") if {sign, read_as} == SIDES else (2, "takes a wrong direction")
    return 1, "does not use a right or a freedom"


def _limit(allowed: int, read_as: str) -> tuple[int, str]:
    if read_as in FASTER or LIMITS.get(read_as, 0) > allowed:
        return 3, "drives faster than allowed"
    return (1, "drives slower than allowed") if read_as in LIMITS else (2, "does not know the limit")


def _warning(sign: str, read_as: str) -> tuple[int, str]:
    if read_as in WARNINGS:
        return 1, "is warned of something else"
    return (3, "does not expect people or lights") if sign in LIVES else (2, "is not warned")


def _ban(sign: str, read_as: str) -> tuple[int, str]:
    if (sign, read_as) == ("no overtaking for trucks", "no overtaking"):
        return 1, "overtakes less than allowed"
    return 2, "ignores a ban"
