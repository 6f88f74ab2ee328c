"""Location-aware attention beyond the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.shapes import Sizes
from attention.variants import Location


def test_what_the_last_query_looked_at_moves_the_next_by_the_filters():
    """With a filter that shifts by two keys, each query looks two keys further than the last."""
    attend = Location(hidden=1, filters=1, width=5)
    params, _ = attend.init(jax.random.key(0), Sizes(1, 1, 9, 1))
    params = {name: 0 * leaf.value for name, leaf in params.items()}
    params |= {
        "filters": params["filters"].at[0, -1].set(1.0),  # the offset 2
        "location": jnp.full((1, 1, 1), 5.0),
        "score": jnp.full((1, 1), 40.0),
        "query": jnp.ones((1, 1, 1)),
        "key": jnp.ones((1, 1, 1)),
    }
    # The first query looks at the first key, whose score is greater; the others see where it was.
    q, k = jnp.zeros((1, 4, 1, 1)), jnp.zeros((1, 9, 1, 1)).at[0, 0].set(0.3)
    w_BQHK, _ = attend.attend(params, {}, q, k, jnp.eye(9)[None, :, None], None)
    np.testing.assert_array_equal(np.argmax(w_BQHK[0, :, 0], axis=-1), [0, 2, 4, 6])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": -1}, "needs a whole number, 0 or more"),
        ({"filters": 0}, "needs a whole number, 1 or more"),
        ({"width": 2.0}, "needs a whole number, 1 or more"),
        ({"width": 4}, "needs an odd number, as far to either side"),
    ],
)
def test_what_cannot_be_is_told(fields, message):
    with pytest.raises(ValueError, match=message):
        Location(**fields)
