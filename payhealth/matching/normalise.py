"""References, accounts and assets in their key form, on whole columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.assets import normalise_hex

_EDGE = r"^[^!-~]|[^!-~]$"


def normalised(array: pa.Array) -> pa.Array:
    """Null as empty, trimmed, hexadecimal parts in lower case, everything else as it is."""
    array = array.cast(pa.string()).fill_null("")
    cased = pc.and_(pc.match_substring_regex(array, "0[xX]"), pc.not_equal(array, pc.ascii_lower(array)))
    odd = pc.or_(cased, pc.match_substring_regex(array, _EDGE))
    if not pc.any(odd).as_py():
        return array
    pure = pc.match_substring_regex(array, "^0[xX][0-9a-fA-F]+$")
    array = pc.if_else(pure, pc.ascii_lower(array), array)
    rest = np.asarray(pc.and_not(odd, pure).to_numpy(zero_copy_only=False), dtype=bool)
    if not rest.any():
        return array
    encoded = array.filter(pa.array(rest)).dictionary_encode()
    names = pa.array([normalise_hex(name) for name in encoded.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(array, pa.array(rest), names.take(encoded.indices))
