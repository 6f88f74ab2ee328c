"""Law 1: equal to the paper's equation in float64 NumPy. Law 2: so are the gradients."""

import numpy as np
import pytest
from hypothesis import given, strategies

from attention.testing import laws
from attention.testing.draw import draw
from tests.laws.cases import ALONE, CASES, declaring
from tests.laws.harness import few, lengths_of, seeds, sizes_of
from tests.laws.settings import settings_of, slots_of

# One token alone sees no key here: no loops, or no block of keys that is complete.
NO_KEY_FOR_ONE = "graph-gat-without-loops", "compressed-3-3-causal", "compressed-5-2-causal"


@pytest.mark.parametrize("setting", settings_of(CASES))
def test_equal_to_the_paper(setting):
    for seed in (0, 1):
        laws.equal_to_the_reference(setting, seed, k_len=setting.case.lengths[-1])


@pytest.mark.long
@pytest.mark.parametrize("setting", settings_of(CASES))
@given(data=strategies.data(), seed=seeds)
@few
def test_equal_to_the_paper_at_any_size(setting, data, seed):
    laws.equal_to_the_reference(
        setting,
        seed,
        sizes=data.draw(sizes_of(setting.case)),
        q_len=data.draw(lengths_of(setting.case)),
        k_len=data.draw(lengths_of(setting.case)),
    )


@pytest.mark.parametrize("setting", slots_of(CASES))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_size_of_head(setting, dtype):
    for sizes in setting.case.sizes[1:] if dtype == "float32" else setting.case.sizes[:1]:
        k_len = setting.case.lengths[-1]
        laws.equal_to_the_reference(setting, sizes=sizes, k_len=k_len, dtype=dtype)


@pytest.mark.parametrize("setting", slots_of(CASES))
def test_one_token(setting):
    for k_len in (1, setting.case.lengths[0]):
        drawn = draw(setting, q_len=1, k_len=k_len)
        assert np.any(drawn.expected()) != (setting.case.name in NO_KEY_FOR_ONE)
        laws.equal_to_the_reference(setting, q_len=1, k_len=k_len)


@pytest.mark.parametrize("setting", slots_of(declaring(ALONE, bias=True)))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equal_to_the_paper_with_a_bias(setting, dtype):
    k_len = setting.case.lengths[-1]
    laws.equal_to_the_reference(setting, k_len=k_len, dtype=dtype, bias=True)


@pytest.mark.parametrize("setting", slots_of(CASES))
def test_gradients(setting):
    laws.gradients_equal_differences(setting)
