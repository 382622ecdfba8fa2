import pytest

from search_spaces.errors import NasError, SpecError, UnknownName
from search_spaces.registry import Registry


@pytest.fixture
def registry() -> Registry[type]:
    return Registry("gadget", "search_spaces.errors")  # a module without entries of its own


class TestRegistry:
    def test_names_are_sorted_and_found(self, registry):
        registry.register("b")(int)
        registry.register("a")(str)
        assert list(registry) == ["a", "b"]
        assert registry["b"] is int
        assert "a" in registry
        assert len(registry) == 2

    def test_a_name_is_entered_once(self, registry):
        registry.register("a")(str)
        registry.register("a")(str)  # a module that is imported again
        with pytest.raises(SpecError, match=r"gadget 'a' is registered twice: by builtins.str"):
            registry.register("a")(int)

    def test_an_unknown_name_suggests_the_nearest(self, registry):
        registry.register("mbconv")(str)
        with pytest.raises(UnknownName, match="unknown gadget 'mbcnov'; did you mean 'mbconv'"):
            registry["mbcnov"]

    def test_the_blocks_of_the_package_are_found(self):
        from search_spaces.block import BLOCKS

        assert {"active_shift", "csc", "eesp", "fe", "mbconv", "shufflev2"} <= set(BLOCKS)

    def test_all_errors_share_a_base(self):
        assert issubclass(UnknownName, NasError)
